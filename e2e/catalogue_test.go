package e2e

import (
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"fedlab/doctor"
	"fedlab/lab"
	"fedlab/lab/scenario"
)

var library = scenario.Library{FS: os.DirFS("../scenarios"), Dir: "../scenarios", Codes: doctor.Codes(), Quirks: lab.Quirks()}

var _ = Describe("the catalogue, in virtual time", func() {
	all, err := library.Load()
	if err != nil {
		It("can be read", func() { Expect(err).NotTo(HaveOccurred()) })
	}
	for _, s := range all {
		It(s.Name+": "+s.Title, func() {
			r := lab.Run(s, lab.Options{Clock: lab.VirtualTime(suite), Seed: uint64(GinkgoRandomSeed())})
			AddReportEntry("virtual time", r.Virtual, ReportEntryVisibilityFailureOrVerbose)
			for _, f := range r.Failures {
				Fail(f.String())
			}
		})
	}
})
