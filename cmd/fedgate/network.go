package main

import (
	"fedlab/gateway/config"
	"fedlab/internal/network"
)

// hostNetwork is the network of the machine this runs on, with the name servers that the configuration names.
func hostNetwork(c *config.Config) network.Network { return network.OS{DNS: c.DNS} }
