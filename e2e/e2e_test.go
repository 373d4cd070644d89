package e2e

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// suite is the test that Ginkgo runs in. Virtual time is opened from it, inside a spec: a bubble cannot hold Ginkgo itself.
var suite *testing.T

func TestE2E(t *testing.T) {
	suite = t
	RegisterFailHandler(Fail)
	RunSpecs(t, "fedlab")
}
