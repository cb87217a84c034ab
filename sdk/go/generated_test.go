package eventfabric_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheAdapterIsMadeOfItsText(t *testing.T) {
	sums, err := os.ReadFile("adapter/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		text, err := os.ReadFile(filepath.Join("adapter", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(text)); got != sum {
			t.Errorf("%s has changed: run adapter/build.mjs", name)
		}
	}
}

func TestTheBindingsAreThoseOfTheContract(t *testing.T) {
	for _, tool := range []string{"wit-bindgen", "gofmt"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: there is no %s", tool)
		}
	}
	fresh := t.TempDir()
	command := exec.Command("sh", "internal/generate.sh", fresh)
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	said, err := exec.Command("diff", "-r", "-x", "export_*", "internal/wit", fresh).CombinedOutput()
	if err != nil {
		t.Errorf("run internal/generate.sh: %s", said)
	}
}

// Go embeds what is below a module's own folder, so its plugins have copies of what all languages share.
func TestTheCopiesAreThoseOfAllLanguages(t *testing.T) {
	for copied, of := range map[string]string{
		"conformance/migrations":               "../conformance/migrations",
		"template/migrations":                  "../rust/template/migrations",
		"template/scenarios":                   "../rust/template/scenarios",
		"../../plugins/carriers-go/migrations": "../../plugins/carriers/migrations",
		"../../plugins/carriers-go/scenarios":  "../../plugins/carriers/scenarios",
	} {
		said, err := exec.Command("diff", "-r", of, copied).CombinedOutput()
		if err != nil {
			t.Errorf("copy the files of %s to %s: %v: %s", of, copied, err, said)
		}
	}
}
