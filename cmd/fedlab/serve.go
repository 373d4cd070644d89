package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	"fedlab/internal/network"
	"fedlab/internal/strictyaml"
	"fedlab/lab"
	"fedlab/lab/scenario"
	"fedlab/sim/dns"
	"fedlab/sim/googletalk"
	"fedlab/sim/ocsedge"
	"fedlab/sim/trace"
)

// The files that serve reads. Every fake is told what a topology would tell it.
type (
	dnsFile struct {
		Listen  string           `yaml:"listen" need:"true"` // address:port, UDP and TCP
		Zones   scenario.View    `yaml:"zones"`
		Forward []netip.AddrPort `yaml:"forward"`
	}
	googleTalkFile struct {
		DNS     []string                 `yaml:"dns"` // servers to ask, address:port; default the system's
		Hosts   map[string]farmHost      `yaml:"hosts" need:"true"`
		Domains []string                 `yaml:"domains" need:"true"`
		Users   map[string]scenario.User `yaml:"users"`
		Seed    uint64                   `yaml:"seed"`
	}
	farmHost struct {
		Names  []string `yaml:"names"`
		Listen string   `yaml:"listen" need:"true"`
	}
	edgeFile struct {
		DNS         []string                 `yaml:"dns"`
		Name        string                   `yaml:"name" need:"true"` // the federation name
		Federation  string                   `yaml:"federation" need:"true"`
		Internal    string                   `yaml:"internal"`
		Certificate certificateFiles         `yaml:"certificate" need:"true"`
		Domains     []string                 `yaml:"domains" need:"true"`
		Allow       map[string]string        `yaml:"allow"`
		Users       map[string]scenario.User `yaml:"users"`
		Seed        uint64                   `yaml:"seed"`
	}
	certificateFiles struct {
		Cert        string `yaml:"cert" need:"true"`
		Key         string `yaml:"key" need:"true"`
		Authorities string `yaml:"authorities" need:"true"`
	}
)

// machinesCommand is what runs on every machine of a world of containers.
func machinesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "machines",
		Short: "Be machines of a topology, as told on the standard input",
		Long: `Be one or several machines of a topology on the real network: run the fakes that it has there, make their users act,
use the field's tools, examine. The orders come as lines of JSON on the standard input; what happens is told on the standard output.
The worlds of "fedlab run --world containers" are driven in this way.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			return lab.ServeMachines(c.Context(), c.InOrStdin(), c.OutOrStdout(), log)
		},
	}
}

// fake is a running fake. It is driven by lines on standard input and tells its trace on standard output.
type fake struct {
	close func() error
	send  func(ctx context.Context, from, to, body string) error // nil: it has no users
}

func serveCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "serve googletalk|ocsedge|dns -c FILE",
		Short: "Run one fake alone on the real network",
		Long: `Run one fake alone on the real network, until the standard input or the program is ended.

The standard output is its trace, one JSON object per event and line; the first line is {"layer":"step","kind":"ready"}.
A line {"from":"…","to":"…","body":"…"} on the standard input makes a user send a message.`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"googletalk", "ocsedge", "dns"},
		RunE: func(c *cobra.Command, args []string) error {
			r := trace.NewRecorder()
			log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
			start := map[string]func(context.Context, string, *trace.Recorder, *slog.Logger) (*fake, error){
				"dns": serveDNS, "googletalk": serveGoogleTalk, "ocsedge": serveEdge,
			}[args[0]]
			f, err := start(c.Context(), file, r, log)
			if err != nil {
				return err
			}
			return errors.Join(f.serve(c.Context(), c.InOrStdin(), c.OutOrStdout(), r), f.close())
		},
	}
	c.AddCommand(machinesCommand())
	c.Flags().StringVarP(&file, "config", "c", "", "what the fake is told, in YAML")
	if err := c.MarkFlagRequired("config"); err != nil {
		panic(err) // the flag stands one line above
	}
	return c
}

// serve obeys the lines of in and writes the trace to out until in or ctx ends.
func (f *fake) serve(ctx context.Context, in io.Reader, out io.Writer, r *trace.Recorder) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.Record(trace.Event{Layer: trace.Step, Kind: "ready"})
	var writer sync.WaitGroup
	writer.Go(func() { tell(ctx, out, r) })
	defer writer.Wait()
	defer cancel()

	lines := make(chan []byte)
	go func() { // ends with the standard input, that is at the latest with the program
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case lines <- append([]byte(nil), s.Bytes()...):
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, open := <-lines:
			if !open {
				return nil
			}
			var m struct{ From, To, Body string }
			if err := json.Unmarshal(line, &m); err != nil {
				return fmt.Errorf("standard input: %q is not a message to send: %w", line, err)
			}
			if f.send == nil {
				return errors.New("standard input: this fake has no users who could send")
			}
			if err := f.send(ctx, m.From, m.To, m.Body); err != nil {
				return err
			}
		}
	}
}

// tell writes every event as one line of JSON, and returns when ctx has ended.
func tell(ctx context.Context, out io.Writer, r *trace.Recorder) {
	e := json.NewEncoder(out)
	for seen := 0; ; {
		event, err := r.Await(ctx, seen, func(trace.Event) bool { return true })
		if err != nil {
			return
		}
		seen = event.Seq
		if err := e.Encode(event); err != nil {
			return
		}
	}
}

func serveDNS(ctx context.Context, file string, r *trace.Recorder, _ *slog.Logger) (*fake, error) {
	var c dnsFile
	if err := readFile(file, &c); err != nil {
		return nil, err
	}
	zones := map[string]map[string][]string{}
	for name, z := range c.Zones {
		zones[name] = map[string][]string{}
		for record, values := range z {
			zones[name][record] = values
		}
	}
	s, err := dns.Start(ctx, dns.Config{Network: network.OS{}, Host: "dns", Listen: c.Listen, Zones: zones, Forward: c.Forward, Trace: r})
	if err != nil {
		return nil, err
	}
	return &fake{close: s.Close}, nil
}

func serveGoogleTalk(ctx context.Context, file string, r *trace.Recorder, log *slog.Logger) (*fake, error) {
	var c googleTalkFile
	if err := readFile(file, &c); err != nil {
		return nil, err
	}
	g := googletalk.Config{Domains: c.Domains, Trace: r, Seed: c.Seed, Log: log}
	for name, h := range c.Hosts {
		g.Hosts = append(g.Hosts, googletalk.Host{Name: name, Names: h.Names, Network: network.OS{DNS: c.DNS}, Listen: h.Listen})
	}
	for address, u := range c.Users {
		g.Users = append(g.Users, googletalk.User{Address: address, Contacts: u.Contacts})
	}
	farm, err := googletalk.Start(ctx, g)
	if err != nil {
		return nil, err
	}
	return &fake{close: farm.Close, send: func(ctx context.Context, from, to, body string) error {
		return farm.Send(ctx, googletalk.SendOptions{From: from, To: to, Body: body})
	}}, nil
}

func serveEdge(ctx context.Context, file string, r *trace.Recorder, log *slog.Logger) (*fake, error) {
	var c edgeFile
	if err := readFile(file, &c); err != nil {
		return nil, err
	}
	dir := filepath.Dir(file)
	pair, err := tls.LoadX509KeyPair(within(dir, c.Certificate.Cert), within(dir, c.Certificate.Key))
	if err != nil {
		return nil, fmt.Errorf("%s: certificate: %w", file, err)
	}
	pem, err := os.ReadFile(within(dir, c.Certificate.Authorities))
	if err != nil {
		return nil, fmt.Errorf("%s: certificate: authorities: %w", file, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: certificate: no authority in %s", file, c.Certificate.Authorities)
	}
	e := ocsedge.Config{
		Network: network.OS{DNS: c.DNS}, Host: "edge", Name: c.Name, Federation: c.Federation, Internal: c.Internal,
		Certificate: pair, Roots: roots, Domains: c.Domains, Allow: c.Allow, Trace: r, Seed: c.Seed, Log: log,
	}
	for address, u := range c.Users {
		e.Users = append(e.Users, ocsedge.User{Address: address, Contacts: u.Contacts})
	}
	edge, err := ocsedge.Start(ctx, e)
	if err != nil {
		return nil, err
	}
	return &fake{close: edge.Close, send: func(ctx context.Context, from, to, body string) error {
		return edge.Send(ctx, ocsedge.SendOptions{From: from, To: to, Body: body})
	}}, nil
}

// readFile fills *into from a YAML file, or says every mistake in it.
func readFile(name string, into any) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var mistakes strictyaml.List
	root := strictyaml.Parse(name, data, &mistakes)
	if mistakes.Len() == 0 { // of what is not YAML nothing else can be said
		strictyaml.Decode(root, into, &mistakes)
	}
	return mistakes.Err()
}

func within(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}
