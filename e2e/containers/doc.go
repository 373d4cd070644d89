// Package containers runs scenarios of the catalogue, unchanged, on the virtual network and in containers on real kernels, and holds
// that both come to the same verdict and the same findings. Its tests need a Docker engine and the images of "make images", so they
// stand behind the build tag "containers"; "make e2e-containers" does both.
package containers
