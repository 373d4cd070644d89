package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fedlab/doctor"
	"fedlab/gateway/config"
	"fedlab/gateway/translate"
	"fedlab/internal/network"
	"fedlab/internal/revocation"
)

// doctorFlags are what a vantage point knows that the gateway's configuration does not say.
type doctorFlags struct {
	config, from, log           string
	json, dryRun                bool
	allow, addresses            []string
	cert, key, authorities      string
	revoked                     string
	federationName, domainNamed string
}

func doctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is wrong with the gateway's surroundings, and what to do about it",
		Long: `Say what is wrong, with the evidence and the remedy. No message is sent to anybody.

It looks from one of three places, and is run on the machine that stands there:
  gateway   the gateway's own machine (default). It needs the gateway's configuration, -c
  edge      the Access Edge's machine: --allow, --cert, --key, --authorities and --log say what the Edge has configured. Without a
            configuration it needs --name and --allow
  outside   any machine on the Internet: --address says the organisation's public addresses, as far as they are known. Without a
            configuration it needs --domain

Exit codes: 0 nothing found, 1 something found, 2 the input could not be used.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "the gateway's configuration `FILE`")
	cmd.Flags().StringVar(&f.from, "from", string(doctor.FromGateway), "where this machine stands: gateway, edge or outside")
	cmd.Flags().BoolVar(&f.json, "json", false, "write the report as one JSON object")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be done, and do nothing")
	cmd.Flags().StringVar(&f.domainNamed, "domain", "", "edge, outside: the SIP `DOMAIN`, if there is no configuration or it has more than one")
	cmd.Flags().StringArrayVar(&f.addresses, "address", nil, "outside: a public `ADDRESS` of the organisation; may be repeated")
	cmd.Flags().StringArrayVar(&f.allow, "allow", nil, "edge: an entry of the Allow list, `DOMAIN=NEXTHOP`; may be repeated. Default: every XMPP domain goes to the gateway's hostname")
	cmd.Flags().StringVar(&f.federationName, "name", "", "edge: the Edge's federation `NAME`; default: the host of the domain's next_hop")
	cmd.Flags().StringVar(&f.cert, "cert", "", "edge: the Edge's certificate, a PEM `FILE`")
	cmd.Flags().StringVar(&f.key, "key", "", "edge: its private key, a PEM `FILE`")
	cmd.Flags().StringVar(&f.authorities, "authorities", "", "edge: the authorities that the Edge trusts, a PEM `FILE`; default: the system's")
	cmd.Flags().StringVar(&f.revoked, "revoked", "", "edge: the lists of revoked certificates that the Edge knows, a PEM `FILE`; default: none")
	cmd.Flags().StringVar(&f.log, "log", "", "edge: a text `FILE` that the Edge logs to")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := misplaced(cmd.Flags().Changed, doctor.Vantage(f.from)); err != nil {
			return &exitError{exitInput, err}
		}
		v, err := f.vantage(cmd.ErrOrStderr())
		if err != nil {
			return &exitError{exitInput, err}
		}
		if f.dryRun {
			for _, step := range v.Plan() {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), "-", step); err != nil {
					return &exitError{exitFailed, err}
				}
			}
			return nil
		}
		findings := v.Examine(cmd.Context())
		report := doctor.NewReport([]doctor.Vantage{doctor.Vantage(f.from)}, findings)
		write := report.Text
		if f.json {
			write = report.JSON
		}
		if err := write(cmd.OutOrStdout()); err != nil {
			return &exitError{exitFailed, err}
		}
		if len(findings) > 0 {
			return &exitError{code: exitFailed}
		}
		return nil
	}
	return cmd
}

// vantage is one of the doctor's vantage points.
type vantage interface {
	Examine(context.Context) []doctor.Finding
	Plan() []string
}

// places is from where a flag is of use; one that is not here is everywhere.
var places = map[string][]doctor.Vantage{
	"domain": {doctor.FromEdge, doctor.FromOutside}, "address": {doctor.FromOutside},
	"allow": {doctor.FromEdge}, "name": {doctor.FromEdge}, "cert": {doctor.FromEdge}, "key": {doctor.FromEdge},
	"authorities": {doctor.FromEdge}, "revoked": {doctor.FromEdge}, "log": {doctor.FromEdge},
}

// misplaced refuses flags that are of use from other places only: who gives one believes that it counts.
func misplaced(given func(flag string) bool, from doctor.Vantage) (err error) {
	if !slices.Contains([]doctor.Vantage{doctor.FromGateway, doctor.FromEdge, doctor.FromOutside}, from) {
		return fmt.Errorf("--from %q: it is one of gateway, edge, outside", from)
	}
	for _, flag := range slices.Sorted(maps.Keys(places)) {
		if given(flag) && !slices.Contains(places[flag], from) {
			err = errors.Join(err, fmt.Errorf("--%s says nothing to --from %s; it is for --from %s", flag, from, places[flag][0]))
		}
	}
	return err
}

// vantage is where the flags say that this machine stands.
func (f doctorFlags) vantage(notes io.Writer) (vantage, error) {
	c := new(config.Config) // of which nothing is known
	var problem error
	if f.config != "" {
		// A certificate that cannot be used is what the doctor is for; anything else has to be mended first.
		if c, problem = config.Load(f.config); problem != nil && (c == nil || !config.OnlyCertificates(problem)) {
			return nil, problem
		}
	}
	host := hostNetwork(c)
	switch doctor.Vantage(f.from) {
	case doctor.FromGateway:
		if f.config == "" {
			return nil, errors.New("--config has to name the gateway's configuration, which is what is looked at on the gateway's machine; on any other, --from outside needs no more than a --domain")
		}
		g := doctor.Gateway{Config: c, Problem: problem, Network: host}
		if c.Admin.Listen != "" {
			g.Status = func(ctx context.Context) ([]byte, error) {
				page, err := askAdmin(ctx, host, c.Admin.Listen, "/status")
				if err == nil && !json.Valid(page) {
					err = fmt.Errorf("http://%s/status is no status: somebody else answers", c.Admin.Listen)
				}
				if err != nil {
					fmt.Fprintf(notes, "What the running gateway has seen is not known: %v\n", err)
				}
				return page, err
			}
		}
		return g, nil
	case doctor.FromOutside:
		domain, err := f.domain(c)
		if err != nil {
			return nil, err
		}
		o := doctor.Outside{Network: host, Domain: domain}
		for _, s := range f.addresses {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return nil, fmt.Errorf("--address %q: %w", s, err)
			}
			o.Addresses = append(o.Addresses, a)
		}
		return o, nil
	default:
		e, err := f.edge(c)
		if err != nil {
			return nil, err
		}
		e.Network = host
		return e, nil
	}
}

// domain is the SIP domain that is looked at.
func (f doctorFlags) domain(c *config.Config) (string, error) {
	all := slices.Sorted(maps.Keys(c.SIP.Domains))
	switch {
	case f.domainNamed == "" && len(all) == 1:
		return all[0], nil
	case f.domainNamed == "" && f.config == "":
		return "", errors.New("--domain has to name the SIP domain, such as contoso.com, or --config a configuration that has it")
	case f.domainNamed == "":
		return "", fmt.Errorf("--domain has to say which of these SIP domains: %s", strings.Join(all, ", "))
	}
	domain, err := translate.ParseDomain(f.domainNamed)
	if err != nil {
		return "", fmt.Errorf("--domain %q: %w", f.domainNamed, err)
	}
	if f.config != "" && !slices.Contains(all, domain) {
		return "", fmt.Errorf("--domain %q is none of the configuration's SIP domains: %s", f.domainNamed, strings.Join(all, ", "))
	}
	return domain, nil
}

// edge is the vantage point of the Access Edge, from what the flags say and what follows from the gateway's configuration.
func (f doctorFlags) edge(c *config.Config) (doctor.Edge, error) {
	e := doctor.Edge{Name: f.federationName, Allow: make(map[string]string)}
	if f.config == "" && (e.Name == "" || len(f.allow) == 0) {
		return e, errors.New("without a configuration (--config) the flags have to say what the Edge is called, --name sip.contoso.com, and what is on its Allow list, --allow gmail.com=xmpp.jds.local")
	}
	if e.Name == "" {
		domain, err := f.domain(c)
		if err != nil {
			return e, err
		}
		next := c.SIP.Domains[domain].NextHop
		if next.SRV() {
			return e, fmt.Errorf("--name has to say what the Edge is called: the configuration leaves the next hop of %s to DNS", domain)
		}
		if e.Name, _, err = net.SplitHostPort(next[0]); err != nil {
			return e, fmt.Errorf("next_hop %q is no host:port: %w", next[0], err)
		}
	}
	for _, entry := range f.allow {
		domain, hop, ok := strings.Cut(entry, "=")
		if !ok || domain == "" || hop == "" {
			return e, fmt.Errorf("--allow %q: it is DOMAIN=NEXTHOP", entry)
		}
		e.Allow[domain] = hop
	}
	if len(f.allow) == 0 {
		for domain := range c.XMPP.Expanded() {
			e.Allow[domain] = c.Hostname
		}
	}
	if (f.cert == "") != (f.key == "") {
		return e, errors.New("--cert and --key go together")
	}
	if f.cert != "" {
		pair, err := config.ReadPair(f.cert, f.key)
		var unread *fs.PathError
		if err != nil && (!errors.Is(err, config.ErrNoKey) || errors.As(err, &unread)) {
			return e, fmt.Errorf("the Edge's certificate: %w", err)
		}
		e.Certificate = pair // a key that is none, or another's, is what the doctor is for
	}
	if f.authorities != "" {
		pem, err := os.ReadFile(f.authorities)
		if err != nil {
			return e, err
		}
		e.Roots = x509.NewCertPool()
		if !e.Roots.AppendCertsFromPEM(pem) {
			return e, fmt.Errorf("--authorities %s: no certificate in it", f.authorities)
		}
	}
	if f.revoked != "" {
		pem, err := os.ReadFile(f.revoked)
		if err != nil {
			return e, err
		}
		if e.Revoked, err = revocation.Parse(pem); err != nil {
			return e, fmt.Errorf("--revoked %s: %w", f.revoked, err)
		}
		if len(e.Revoked) == 0 {
			return e, fmt.Errorf("--revoked %s: no list of revoked certificates in it, in PEM: -----BEGIN %s", f.revoked, revocation.Block)
		}
	}
	if f.log != "" {
		lines, err := edgeLog(f.log)
		if err != nil {
			return e, fmt.Errorf("--log: %w", err)
		}
		e.Log = lines
	}
	return e, nil
}

// maxStatus bounds what is read of the running gateway's status.
const maxStatus = 4 << 20

// askAdmin asks the running gateway for a page of the admin listener of this machine.
func askAdmin(ctx context.Context, n network.Network, listen, page string) ([]byte, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, err
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		listen = net.JoinHostPort("localhost", port)
	}
	client := http.Client{Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+page, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", request.URL, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxStatus))
}
