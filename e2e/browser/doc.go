// Package browser opens the reports in a real browser: Debian's chromium, which `make test-peers` installs. Its tests stand
// behind the build tag peers.
package browser
