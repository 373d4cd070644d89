package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// admin serves health, readiness, status and metrics on the admin listener until ctx ends.
//
//	/healthz  200 while the process works
//	/readyz   200 while messages are taken, 503 before and while it stops
//	/status   what Status returns, as JSON
//	/metrics  Prometheus
func (g *Gateway) admin(ctx context.Context, listening func()) error {
	l, err := g.network.Listen(ctx, "tcp", g.config.Admin.Listen)
	if err != nil {
		return fmt.Errorf("admin listener %s: %w", g.config.Admin.Listen, err)
	}
	listening()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s := g.State(); s != Serving {
			http.Error(w, string(s), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, Serving)
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		if err := e.Encode(g.Status()); err != nil {
			g.log.Debug("status not written", "error", err)
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(g.count.registry, promhttp.HandlerOpts{}))
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err = <-served:
		return fmt.Errorf("admin listener %s: %w", g.config.Admin.Listen, err)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := server.Shutdown(closing); err != nil {
		server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
