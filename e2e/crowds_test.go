package e2e

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"fedlab/lab"
)

// The family load is outside the default run. Of each of its scenarios with crowds a smaller row runs here, so that none rots.
var _ = Describe("crowds, in virtual time", func() {
	all, err := library.Load("load/...")
	if err != nil {
		It("can be read", func() { Expect(err).NotTo(HaveOccurred()) })
	}
	for _, s := range all {
		if !strings.HasSuffix(s.Name, "/small") {
			continue
		}
		It(s.Name+": "+s.Title, func() {
			r := lab.Run(s, lab.Options{Clock: lab.VirtualTime(suite), Seed: 1})
			AddReportEntry("virtual time", r.Virtual, ReportEntryVisibilityFailureOrVerbose)
			for _, f := range r.Failures {
				Fail(f.String())
			}
		})
	}
})
