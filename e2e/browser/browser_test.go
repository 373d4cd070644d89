//go:build peers

package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"fedlab/doctor"
	"fedlab/lab"
	"fedlab/lab/report"
	"fedlab/lab/scenario"
)

const (
	passing = "health/first-message-from-gmail"
	failing = "certificates/wrong-cn" // run without what it plants
)

// written writes a report of two pages, and an index of 120 runs, and returns its folder.
func written(t *testing.T) string {
	t.Helper()
	library := scenario.Library{FS: os.DirFS("../../scenarios"), Dir: "../../scenarios"}
	all, err := library.Load(passing)
	if err != nil {
		t.Fatal(err)
	}
	file := "../../scenarios/" + failing + ".yaml"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	repaired, err := library.Parse(file, regexp.MustCompile(`(?m)^patch:\n(?:[ ].*\n)*`).ReplaceAll(data, nil))
	if err != nil {
		t.Fatal(err)
	}
	dir := os.Getenv("REPORT_DIR") // where CI keeps what a run leaves
	if dir == "" {
		dir = t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var runs []report.Run
	for _, s := range append(all, repaired...) {
		r := lab.Run(s, lab.Options{Clock: lab.VirtualTime(t), Seed: 1})
		if want := s.Name == passing; r.Passed() != want {
			t.Fatalf("%s: passed is %v", s.Name, r.Passed())
		}
		p := r.Page()
		runs = append(runs, p.Run)
		create(t, filepath.Join(dir, report.FileName(s.Name)), func(f *os.File) error { return p.HTML(f) })
	}
	for i := len(runs); i < 120; i++ {
		r := runs[0]
		r.Scenario = fmt.Sprintf("ports/number-%d", i)
		r.Findings = []string{"net.filtered"}
		runs = append(runs, r)
	}
	create(t, filepath.Join(dir, "index.html"), func(f *os.File) error { return report.Index(f, runs) })
	return dir
}

func create(t *testing.T, name string, write func(*os.File) error) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= 2<<20 {
		t.Errorf("%s has %d bytes", name, info.Size())
	}
}

// browser starts chromium and fails the test when a page complains on its console, or asks for anything that is not a file.
func browser(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, limit)
	t.Cleanup(cancel)
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *cdpruntime.EventExceptionThrown:
			t.Errorf("the page threw: %s", e.ExceptionDetails.Error())
		case *cdpruntime.EventConsoleAPICalled:
			t.Errorf("the page wrote on the console: %s", e.Type)
		case *network.EventRequestWillBeSent:
			if u := e.Request.URL; !strings.HasPrefix(u, "file:") && !strings.HasPrefix(u, "data:") {
				t.Errorf("the page asks for %s", u)
			}
		}
	})
	if err := chromedp.Run(ctx, network.Enable(), cdpruntime.Enable()); err != nil {
		t.Fatalf("chromium does not start (make test-peers installs it): %v", err)
	}
	return ctx
}

func TestReport(t *testing.T) {
	dir := written(t)
	ctx := browser(t, 2*time.Minute)
	do := func(what string, actions ...chromedp.Action) {
		t.Helper()
		if err := chromedp.Run(ctx, actions...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	open := func(page string, width int64) {
		t.Helper()
		do("opening "+page, chromedp.EmulateViewport(width, 900), chromedp.Navigate("file://"+filepath.Join(dir, page)))
	}
	number := func(script string) int {
		t.Helper()
		var n int
		do(script, chromedp.Evaluate(script, &n))
		return n
	}

	t.Run("the index opens in less than a second, and its search and filters choose", func(t *testing.T) {
		began := time.Now()
		open("index.html", 1280)
		t.Logf("120 scenarios opened in %v", time.Since(began))
		if took := number("Math.round(performance.getEntriesByType('navigation')[0].loadEventEnd)"); took >= 1000 {
			t.Errorf("the index took %d ms to load", took)
		}
		const shown = "document.querySelectorAll('.run:not([hidden])').length"
		for _, c := range []struct {
			what string
			act  chromedp.Action
			want int
		}{
			{"everything", chromedp.Evaluate("1", nil), 120},
			{"a word", chromedp.SendKeys("#search", "wrong-cn"), 1},
			{"no word", chromedp.Evaluate("search.value = ''; search.dispatchEvent(new Event('input'))", nil), 120},
			{"a finding", chromedp.Evaluate("code.value = 'net.filtered'; code.dispatchEvent(new Event('input'))", nil), 118},
			{"another result", chromedp.Evaluate("code.value = ''; result.value = 'failed'; result.dispatchEvent(new Event('input'))", nil), 1},
		} {
			do(c.what, c.act)
			if n := number(shown); n != c.want {
				t.Errorf("%s: %d shown, want %d", c.what, n, c.want)
			}
		}
	})

	for _, page := range []string{report.FileName(passing), report.FileName(failing)} {
		t.Run(page, func(t *testing.T) {
			open(page, 1280)
			arrows := number("document.querySelectorAll('.arrow:not(.hidden)').length")
			do("a layer off", chromedp.Click(`.bar input[value="xmpp"]`))
			if left := number("document.querySelectorAll('.arrow:not(.hidden)').length"); left >= arrows || left == 0 {
				t.Errorf("without XMPP %d of %d arrows are left", left, arrows)
			}
			do("a layer on", chromedp.Click(`.bar input[value="xmpp"]`))
			var detail string
			do("opening a message by keyboard",
				chromedp.Focus(`.arrow.sip:not(.hidden)`), chromedp.KeyEvent("\r"), chromedp.Text("#detail", &detail))
			if !strings.Contains(detail, "SIP/2.0") {
				t.Errorf("the opened message reads %q", detail)
			}
			do("opening a message by mouse",
				chromedp.Evaluate(`document.querySelector('.arrow.xmpp:not(.hidden) .hit').dispatchEvent(new MouseEvent('click', {bubbles: true}))`, nil), chromedp.Text("#detail", &detail))
			if !strings.Contains(detail, "<stream:stream") {
				t.Errorf("the opened message reads %q", detail)
			}
		})
	}

	for _, page := range []string{"index.html", report.FileName(passing), report.FileName(failing)} {
		for _, width := range []int64{1280, 400} {
			t.Run(fmt.Sprintf("%s at %d pixels", page, width), func(t *testing.T) {
				open(page, width)
				if over := number("document.documentElement.scrollWidth - innerWidth"); over > 0 {
					t.Errorf("the page is %d pixels too wide", over)
				}
				if n := number(overlaps); n > 0 {
					t.Errorf("%d pairs of blocks or labels overlap", n)
				}
				if n := number(cut); n > 0 {
					t.Errorf("%d elements are cut off without a way to scroll", n)
				}
				var picture []byte
				do("a picture", chromedp.FullScreenshot(&picture, 80))
				name := fmt.Sprintf("%s-%d.jpg", strings.TrimSuffix(page, ".html"), width)
				if err := os.WriteFile(filepath.Join(dir, name), picture, 0o644); err != nil {
					t.Fatal(err)
				}
			})
		}
		for _, scheme := range []string{"light", "dark"} {
			t.Run(page+" can be read in "+scheme, func(t *testing.T) {
				do("colours", chromedp.ActionFunc(func(ctx context.Context) error {
					return setScheme(ctx, scheme)
				}))
				open(page, 1280)
				var faint []string
				do("contrast", chromedp.Evaluate(contrast, &faint))
				if len(faint) > 0 {
					t.Errorf("texts with too little contrast: %q", faint)
				}
			})
		}
		t.Run(page+" has names, roles and an order for those who do not see it", func(t *testing.T) {
			open(page, 1280)
			var tree struct { // the part that is looked at: browsers add properties that the library does not know
				Nodes []struct {
					Ignored bool `json:"ignored"`
					Role    struct {
						Value string `json:"value"`
					} `json:"role"`
					Name struct {
						Value string `json:"value"`
					} `json:"name"`
				} `json:"nodes"`
			}
			do("the accessibility tree", chromedp.ActionFunc(func(ctx context.Context) error {
				return cdp.Execute(ctx, "Accessibility.getFullAXTree", nil, &tree)
			}))
			controls := 0
			for _, n := range tree.Nodes {
				if n.Ignored {
					continue
				}
				switch n.Role.Value {
				case "button", "link", "checkbox", "searchbox", "combobox", "region", "img", "image":
					controls++
					if n.Name.Value == "" {
						t.Errorf("a %s without a name", n.Role.Value)
					}
				}
			}
			if controls == 0 {
				t.Error("no control at all")
			}
			if n := number(`document.querySelectorAll('main').length * 100 + document.querySelectorAll('h1').length * 10 + (document.documentElement.lang ? 1 : 0)`); n != 111 {
				t.Errorf("main, h1, lang: %d", n)
			}
			if n := number(`Array.from(document.querySelectorAll('[tabindex]')).filter(e => e.tabIndex > 0).length`); n > 0 {
				t.Errorf("%d elements jump the order of the page", n)
			}
		})
	}
}

// Every page of the catalogue, not only the two above.
func TestEveryPage(t *testing.T) {
	library := scenario.Library{FS: os.DirFS("../../scenarios"), Dir: "../../scenarios", Codes: doctor.Codes(), Quirks: lab.Quirks()}
	all, err := library.Load()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ctx := browser(t, 15*time.Minute)
	for _, r := range lab.RunAll(t.Context(), all, lab.Options{Clock: lab.VirtualTime(t), Seed: 1}, 1, 2, nil) {
		page := filepath.Join(dir, report.FileName(r.Scenario.Name))
		create(t, page, func(f *os.File) error { return r.Page().HTML(f) })
		for _, width := range []int64{1280, 400} {
			var over, overlapping, cutOff, nameless int
			var faint []string
			if err := chromedp.Run(ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate("file://"+page),
				chromedp.Evaluate("document.documentElement.scrollWidth - innerWidth", &over), chromedp.Evaluate(overlaps, &overlapping),
				chromedp.Evaluate(cut, &cutOff), chromedp.Evaluate(contrast, &faint), chromedp.Evaluate(withoutName, &nameless)); err != nil {
				t.Fatalf("%s: %v", r.Scenario.Name, err)
			}
			if over > 0 || overlapping > 0 || cutOff > 0 || len(faint) > 0 || nameless > 0 {
				t.Errorf("%s at %d pixels: %d too wide, %d overlaps, %d cut off, %d controls without a name, faint: %q", r.Scenario.Name, width, over, overlapping, cutOff, nameless, faint)
			}
		}
	}
}

// withoutName counts controls that nobody who does not see them could tell apart.
const withoutName = `Array.from(document.querySelectorAll('a, button, input, select, [role=button], [role=region], [role=img]')).filter(e =>
  !(e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label') && e.closest('label').textContent.trim())).length`

func setScheme(ctx context.Context, scheme string) error {
	return cdp.Execute(ctx, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// overlaps counts pairs of blocks of the page, of boxes of the deployment, and of labels of the ladder's rows and heads, that
// lie over each other.
const overlaps = `(() => {
  const box = e => e.getBoundingClientRect();
  const over = (a, b) => a.width && b.width && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  let n = 0;
  const pairs = list => { const b = list.map(box); for (let i = 0; i < b.length; i++) for (let j = i + 1; j < b.length; j++) if (over(b[i], b[j])) n++; };
  pairs(Array.from(document.querySelectorAll('main > *, nav')).filter(e => getComputedStyle(e).position !== 'sticky'));
  pairs(Array.from(document.querySelectorAll('.node > rect')));
  pairs(Array.from(document.querySelectorAll('.ladder > .host')));
  document.querySelectorAll('.arrow:not(.hidden)').forEach(g => pairs(Array.from(g.querySelectorAll('text'))));
  return n;
})()`

// cut counts elements whose content is wider than they are and cannot be scrolled.
const cut = `Array.from(document.querySelectorAll('main *')).filter(e => !(e instanceof SVGElement) && e.clientWidth > 0 &&
  e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline' && !['auto', 'scroll'].includes(getComputedStyle(e).overflowX)).length`

// contrast lists texts whose contrast is below what WCAG 2.1, success criterion 1.4.3, asks for.
const contrast = `(() => {
  const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
  const lum = c => { const f = c.slice(0, 3).map(v => { v /= 255; return v <= .03928 ? v / 12.92 : Math.pow((v + .055) / 1.055, 2.4); }); return .2126 * f[0] + .7152 * f[1] + .0722 * f[2]; };
  const back = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length && (c.length < 4 || c[3] > 0)) return c; } return [255, 255, 255]; };
  const bad = new Set();
  document.querySelectorAll('main *').forEach(e => {
    const own = Array.from(e.childNodes).some(n => n.nodeType === 3 && n.data.trim());
    if (!own || !e.getClientRects().length) return;
    const s = getComputedStyle(e), c = rgb(e instanceof SVGElement ? s.fill : s.color);
    if (!c.length) return;
    const a = lum(c), b = lum(back(e)), ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.add(e.className.baseVal || e.className || e.tagName);
  });
  return Array.from(bad);
})()`
