package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"fedlab/internal/network"
	"fedlab/lab/report"
	"fedlab/lab/scenario"
)

// machine is a host as an engineer who sits at it sees it.
type machine interface {
	network.PacketNetwork
	network.SocketLister
}

// looker uses the field's own tools.
type looker struct {
	machine func(host string) (machine, error)
	views   []report.View // what they showed
}

// look does one of the steps nslookup, telnet and netstat and says in what its outcome differs from what the scenario wants.
func look(ctx context.Context, s *scenario.Step, machine func(host string) (machine, error)) ([]report.View, error) {
	l := &looker{machine: machine}
	var err error
	switch {
	case s.Nslookup != nil:
		err = l.nslookup(ctx, s.Nslookup)
	case s.Telnet != nil:
		err = l.telnet(ctx, s.Telnet)
	case s.Netstat != nil:
		err = l.netstat(s.Netstat)
	}
	return l.views, err
}

func (l *looker) nslookup(ctx context.Context, q *scenario.Nslookup) error {
	h, err := l.machine(q.On)
	if err != nil {
		return err
	}
	kind := q.Type
	if kind == "" {
		kind = "A"
	}
	var got []string
	switch kind {
	case "SRV":
		var records []*net.SRV
		_, records, err = h.LookupSRV(ctx, "", "", q.Name)
		for _, r := range records {
			got = append(got, fmt.Sprintf("%d %d %d %s", r.Priority, r.Weight, r.Port, r.Target))
		}
	default:
		var addresses []netip.Addr
		addresses, err = h.LookupNetIP(ctx, map[string]string{"A": "ip4", "AAAA": "ip6"}[kind], q.Name)
		for _, a := range addresses {
			got = append(got, a.String())
		}
	}
	l.view("nslookup -type=%s %s on %s", []any{strings.ToLower(kind), q.Name, q.On}, strings.ReplaceAll(answer(got, err), ", ", "\n"))
	if q.Fails != "" {
		if reason := lookupFailure(err); reason != q.Fails {
			return fmt.Errorf("expected that looking up %s %s on %s fails with %s, seen: %s", kind, q.Name, q.On, q.Fails, answer(got, err))
		}
		return nil
	}
	want := slices.Sorted(slices.Values(q.Answer))
	slices.Sort(got)
	if err != nil || !slices.EqualFunc(want, got, func(a, b string) bool { return strings.TrimSuffix(a, ".") == strings.TrimSuffix(b, ".") }) {
		return fmt.Errorf("expected %s %s on %s: %s; seen: %s", kind, q.Name, q.On, strings.Join(want, ", "), answer(got, err))
	}
	return nil
}

func answer(got []string, err error) string {
	if err != nil {
		return err.Error()
	}
	return strings.Join(got, ", ")
}

// lookupFailure names a DNS error as scenarios do.
func lookupFailure(err error) string {
	var d *net.DNSError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &d):
		return err.Error()
	case d.IsNotFound:
		return "nxdomain"
	case d.IsTimeout:
		return "timeout"
	default:
		return "servfail"
	}
}

func (l *looker) telnet(ctx context.Context, t *scenario.Telnet) error {
	h, err := l.machine(t.From)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within(t.Within))
	defer cancel()
	conn, err := h.DialContext(ctx, "tcp", t.To)
	if err == nil {
		conn.Close()
	}
	want := t.Result
	if want == "" {
		want = "connected"
	}
	l.view("telnet %s from %s", []any{t.To, t.From}, map[bool]string{true: "(a blank window: connected)", false: fmt.Sprint(err)}[err == nil])
	if got := dialResult(err); got != want {
		text := got
		if err != nil {
			text += " (" + err.Error() + ")"
		}
		return fmt.Errorf("expected from %s to %s: %s; seen: %s", t.From, t.To, want, text)
	}
	return nil
}

// dialResult names the end of a connection attempt as scenarios do.
func dialResult(err error) string {
	var dns *net.DNSError
	var netErr net.Error
	switch {
	case err == nil:
		return "connected"
	case errors.As(err, &dns):
		return "unresolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return "timeout"
	}
	return err.Error()
}

func (l *looker) netstat(n *scenario.Netstat) error {
	h, err := l.machine(n.On)
	if err != nil {
		return err
	}
	sockets, err := h.Sockets()
	if err != nil {
		return fmt.Errorf("netstat on %s: %w", n.On, err)
	}
	sockets = slices.DeleteFunc(sockets, func(s network.Socket) bool {
		return !strings.HasPrefix(s.Protocol, "tcp") || n.Port != 0 && int(s.Local.Port()) != n.Port && int(s.Remote.Port()) != n.Port
	})
	var states []string
	for _, s := range sockets {
		states = append(states, s.State)
	}
	l.view("netstat -ano on %s", []any{n.On}, socketTable(sockets))
	shown := " none"
	if len(sockets) > 0 {
		shown = "\n" + socketTable(sockets)
	}
	if n.Port != 0 {
		shown = fmt.Sprintf(" of port %d:%s", n.Port, shown)
	} else {
		shown = ":" + shown
	}
	for _, want := range n.Shows {
		if !slices.Contains(states, want) {
			return fmt.Errorf("expected a socket in state %s on %s; seen%s", want, n.On, shown)
		}
	}
	for _, unwanted := range n.None {
		if slices.Contains(states, unwanted) {
			return fmt.Errorf("expected no socket in state %s on %s; seen%s", unwanted, n.On, shown)
		}
	}
	return nil
}

// view keeps what a tool showed, for the report.
func (l *looker) view(title string, args []any, text string) {
	l.views = append(l.views, report.View{Title: fmt.Sprintf(title, args...), Text: text})
}

// socketTable is what netstat prints.
func socketTable(sockets []network.Socket) string {
	var b strings.Builder
	for _, s := range sockets {
		remote := "0.0.0.0:0"
		if s.Remote.IsValid() {
			remote = s.Remote.String()
		}
		fmt.Fprintf(&b, "  %-4s  %-22s  %-22s  %-12s  %s\n", strings.ToUpper(s.Protocol), s.Local, remote, s.State, s.Owner)
	}
	return b.String()
}
