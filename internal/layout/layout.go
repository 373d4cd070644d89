// Package layout holds nothing but the test of this project's import rule: who may import whom, and why. ARCHITECTURE.md
// draws the same rule as a picture.
package layout
