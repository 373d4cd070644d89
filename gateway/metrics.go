package gateway

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fedlab/gateway/im"
	"fedlab/gateway/route"
)

// counters counts what passes. Each gateway has a registry of its own; nothing is registered for the whole process.
type counters struct {
	registry *prometheus.Registry
	messages *prometheus.CounterVec
	refusals *prometheus.CounterVec
	signals  *prometheus.CounterVec
	seconds  map[route.Side]prometheus.Observer
	taken    map[route.Side]map[string]prometheus.Counter // the counters of what went well, which is nearly everything
}

var kinds = []string{"message", "state", "receipt", "error"}

const delivered = "delivered"

func newCounters() *counters {
	c := &counters{
		registry: prometheus.NewRegistry(),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fedgate_messages_total",
			Help: "Messages by the direction they went, what they carried, and their outcome: delivered (the next server took it) or the condition that their sender was told.",
		}, []string{"direction", "kind", "outcome"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fedgate_refusals_total",
			Help: "Messages and presence that the routing table refused, by direction and reason. Messages are in fedgate_messages_total as well.",
		}, []string{"direction", "reason"}),
		signals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fedgate_presence_total",
			Help: "Presence that crossed, by direction and kind, which is XMPP's type or available.",
		}, []string{"direction", "kind"}),
		seconds: make(map[route.Side]prometheus.Observer),
		taken:   make(map[route.Side]map[string]prometheus.Counter),
	}
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "fedgate_message_seconds",
		Help:    "Seconds from a message's arrival to its outcome.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"direction"})
	c.registry.MustRegister(c.messages, c.refusals, c.signals, seconds)
	for _, came := range []route.Side{route.XMPP, route.SIP} {
		c.seconds[came] = seconds.WithLabelValues(direction(came))
		c.taken[came] = make(map[string]prometheus.Counter)
		for _, kind := range kinds {
			c.taken[came][kind] = c.messages.WithLabelValues(direction(came), kind, delivered)
		}
	}
	return c
}

func direction(came route.Side) string {
	if came == route.SIP {
		return "sip_to_xmpp"
	}
	return "xmpp_to_sip"
}

func (c *counters) settled(came route.Side, kind string, f *im.Failure, took time.Duration) {
	c.seconds[came].Observe(took.Seconds())
	if f == nil {
		c.taken[came][kind].Inc()
		return
	}
	c.messages.WithLabelValues(direction(came), kind, string(known(f.Condition))).Inc()
}

func (c *counters) refused(came route.Side, why route.Reason) {
	c.refusals.WithLabelValues(direction(came), string(why)).Inc()
}

func (c *counters) signalled(came route.Side, kind im.SignalKind) {
	name := "other"
	switch kind {
	case im.SignalAvailable:
		name = "available"
	case im.SignalUnavailable, im.SignalSubscribe, im.SignalSubscribed, im.SignalUnsubscribe, im.SignalUnsubscribed, im.SignalProbe, im.SignalError:
		name = string(kind)
	}
	c.signals.WithLabelValues(direction(came), name).Inc()
}

// gauge registers a value that is read when somebody asks.
func (c *counters) gauge(name, help string, labels prometheus.Labels, read func() float64) {
	c.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, read))
}

// known keeps the label's values few, whatever condition a peer invents.
func known(c im.Condition) im.Condition {
	switch c {
	case im.BadRequest, im.Conflict, im.FeatureNotImplemented, im.Forbidden, im.GoneAway, im.InternalServerError, im.ItemNotFound,
		im.JIDMalformed, im.NotAcceptable, im.NotAllowed, im.NotAuthorized, im.PolicyViolation, im.RecipientUnavailable, im.Redirect,
		im.RegistrationRequired, im.RemoteServerNotFound, im.RemoteServerTimeout, im.ResourceConstraint, im.ServiceUnavailable,
		im.SubscriptionRequired, im.UnexpectedRequest:
		return c
	}
	return im.UndefinedCondition
}
