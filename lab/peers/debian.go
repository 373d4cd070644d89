package peers

import "runtime"

// Run is how a server is run.
type Run struct {
	Files   map[string]string // by their names in the folder that the server was described with
	Env     []string
	Command []string
}

// libraries is where Debian keeps what is made for one kind of processor.
func libraries() string {
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	return "/usr/lib/" + machine + "-linux-gnu"
}
