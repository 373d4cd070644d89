// Package e2e holds the suites that run everything together: the catalogue of scenarios in virtual time, one spec a scenario, and the
// gateway and the fakes as processes of their own on the operating system's loopback.
package e2e
