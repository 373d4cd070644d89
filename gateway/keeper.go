package gateway

import (
	"fmt"

	"fedlab/gateway/store"
)

// keeper is the store of the SIP side: it is named when the gateway is made, and opened when it runs, as New touches nothing.
type keeper struct{ store.Store }

// open opens the store that the configuration names, if any. The function that it returns closes it.
func (g *Gateway) open() (closeStore func() error, err error) {
	if g.keeper == nil {
		return func() error { return nil }, nil
	}
	if g.keeper.Store, err = store.Open(g.config.Store.Path); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return g.keeper.Store.Close, nil
}
