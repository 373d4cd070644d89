package xmpps2s

import (
	"fmt"
	"runtime/debug"

	mstream "mellium.im/xmpp/stream"
)

// survive runs what a stranger's bytes drive. A panic there is a fault of ours or of a library, and must not end the gateway for
// everybody: it ends this stream with internal-server-error, and the log has the stack. RFC 6120 §4.9.3.6
func survive(serve func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w\npanic: %v\n%s", &fault{mstream.InternalServerError, "this server made a mistake with what it was sent"}, p, debug.Stack())
		}
	}()
	return serve()
}
