package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"fedlab/lab"
)

var _ = Describe("a fault that is repaired", func() {
	all, err := library.Load()
	if err != nil {
		It("can be read", func() { Expect(err).NotTo(HaveOccurred()) })
	}
	for _, s := range all {
		if s.Patch == nil || len(s.Findings) == 0 {
			continue // a healthy deployment
		}
		It("makes "+s.Name+" fail", func() {
			repaired := *s
			var err error
			repaired.Deployed, err = library.Topology(s.Topology)
			Expect(err).NotTo(HaveOccurred())
			r := lab.Run(&repaired, lab.Options{Clock: lab.VirtualTime(suite), Seed: 1})
			Expect(r.Failures).NotTo(BeEmpty(), "without its patch this is a healthy deployment, and the scenario still passes")
		})
	}
})
