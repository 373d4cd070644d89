package e2e

import (
	"os"
	"runtime"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"fedlab/lab"
	"fedlab/lab/scenario"
)

// sample is how many pairs of faults are run here; `make pairs` runs all.
const sample = 150

var _ = Describe("two faults at once", func() {
	It("are both found, or one hides the other", func(ctx SpecContext) {
		library := scenario.Library{FS: os.DirFS("../scenarios"), Dir: "../scenarios"}
		all, err := library.Load()
		Expect(err).NotTo(HaveOccurred())
		o := lab.Options{Clock: lab.VirtualTime(suite), Seed: uint64(GinkgoRandomSeed())}
		r, err := lab.Pairs(ctx, library, all, o, runtime.GOMAXPROCS(0), sample, nil)
		Expect(err).NotTo(HaveOccurred())
		for _, f := range r.Failures {
			AddReportEntry("failure", f.String())
		}
		Expect(r.Failures).To(BeEmpty())
		Expect(r.Run).To(BeNumerically(">", sample*3/4), "few contradict each other in the gateway's configuration")
		Expect(r.Both + r.Hidden + r.Listed).To(Equal(r.Run))
		Expect(r.Both).To(BeNumerically(">", sample/2), "most faults have nothing to do with each other")
	})
})
