package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"fedlab/lab"
)

// lookAgain is how often watch looks at the file's time of change.
const lookAgain = 300 * time.Millisecond

func watchCommand(virtual lab.Clock) *cobra.Command {
	var listen string
	var seed uint64
	c := &cobra.Command{
		Use:   "watch FILE",
		Short: "Run a scenario whenever its file changes, and show its page in a browser",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if info, err := os.Stat(args[0]); err != nil {
				return fmt.Errorf("watch: %w", err)
			} else if info.IsDir() {
				return fmt.Errorf("watch: %s is a folder; it takes the file of one scenario", args[0])
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return err
			}
			w := &watched{file: args[0], changed: make(chan struct{})}
			server := &http.Server{Handler: w, ReadHeaderTimeout: 10 * time.Second}
			served := make(chan error, 1)
			go func() { served <- server.Serve(l) }()
			fmt.Fprintf(c.OutOrStdout(), "http://%s shows %s; edit it and watch\n", l.Addr(), args[0])
			w.watch(c.Context(), c.OutOrStdout(), lab.Options{Clock: virtual, Seed: seed})
			server.Close()
			if err := <-served; !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "where the page is served")
	c.Flags().Uint64Var(&seed, "seed", 1, "what varies in the world varies with this number")
	return c
}

// watched is the newest page of a scenario. It serves it, and tells browsers when it is replaced.
type watched struct {
	file string

	mu      sync.Mutex
	page    []byte
	changed chan struct{} // closed and replaced with the page
}

// watch makes the page anew whenever the file has changed, until ctx ends.
func (w *watched) watch(ctx context.Context, out io.Writer, o lab.Options) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for last := (time.Time{}); ; {
		if info, err := os.Stat(w.file); err == nil && !info.ModTime().Equal(last) {
			last = info.ModTime()
			page, line := w.run(o)
			fmt.Fprintln(out, line)
			w.mu.Lock()
			w.page = page
			close(w.changed)
			w.changed = make(chan struct{})
			w.mu.Unlock()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// run makes the page of the file as it is now, or a page that says what is wrong with it.
func (w *watched) run(o lab.Options) (page []byte, line string) {
	all, err := load([]string{w.file})
	if err != nil {
		const refresh = `<script>new EventSource("changes").onmessage = function () { location.reload(); };</script>`
		return []byte("<!doctype html><title>mistakes</title><pre>" + html.EscapeString(err.Error()) + "</pre>" + refresh), err.Error()
	}
	r := lab.Run(all[0], o)
	var b bytes.Buffer
	if err := r.Page().HTML(&b); err != nil {
		return []byte(html.EscapeString(err.Error())), err.Error()
	}
	verdict := "passed"
	if !r.Passed() {
		verdict = "failed: " + r.Failures[0].String()
	}
	return b.Bytes(), fmt.Sprintf("%s %s", time.Now().Format(time.TimeOnly), verdict)
}

// ServeHTTP implements http.Handler.
func (w *watched) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	page, changed := w.page, w.changed
	w.mu.Unlock()
	switch r.URL.Path {
	case "/":
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		rw.Write(page)
	case "/changes": // server-sent events
		rw.Header().Set("Content-Type", "text/event-stream")
		rw.WriteHeader(http.StatusOK)
		rw.(http.Flusher).Flush()
		select {
		case <-changed:
			fmt.Fprint(rw, "data: changed\n\n")
		case <-r.Context().Done():
		}
	default:
		http.NotFound(rw, r)
	}
}
