package eventfabric_test

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A component has the extensions that its plugin uses, and `eventfabric plugin build` goes by what the module has.
func TestAModuleHasWhatItsPluginUsesAndNoMore(t *testing.T) {
	const (
		queries  = "export eventfabric:query/queries@0.1.0"
		store    = "import eventfabric:process-manager/event-store@0.1.0"
		outgoing = "import eventfabric:reactor/outgoing@0.1.0"
	)
	for plugin, want := range map[string][]string{"plain": nil, "queries": {queries}, "manager": {store}, "reactor": {outgoing}} {
		module := filepath.Join(t.TempDir(), plugin+".wasm")
		build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-checklinkname=0 -s -w", "-o", module, ".")
		build.Dir = filepath.Join("testdata", plugin)
		build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		if said, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", plugin, err, said)
		}
		bytes, err := os.ReadFile(module)
		if err != nil {
			t.Fatal(err)
		}
		interfaces := interfacesOf(bytes)
		for _, extension := range []string{queries, store, outgoing} {
			if has := slices.Contains(interfaces, extension); has != slices.Contains(want, extension) {
				t.Errorf("%s has %s: %v", plugin, extension, has)
			}
		}
		if !slices.Contains(interfaces, "import eventfabric:projection/sql@0.1.0") {
			t.Errorf("%s has only %v", plugin, interfaces)
		}
	}
}

// interfacesOf are the names of the sections of imports and exports of a module.
func interfacesOf(module []byte) []string {
	const importSection, exportSection = 2, 7
	var found []string
	rest := module[8:]
	number := func() int {
		n, size := binary.Uvarint(rest)
		rest = rest[size:]
		return int(n)
	}
	name := func() string {
		length := number()
		text := string(rest[:length])
		rest = rest[length:]
		return text
	}
	for len(rest) > 0 {
		section := rest[0]
		rest = rest[1:]
		size := number()
		after := rest[size:]
		if section == importSection {
			for range number() {
				found = append(found, "import "+name())
				name()
				rest = rest[1:] // a function, as in all modules of Go
				number()
			}
		}
		if section == exportSection {
			for range number() {
				of, _, _ := strings.Cut(name(), "#")
				found = append(found, "export "+of)
				rest = rest[1:]
				number()
			}
		}
		rest = after
	}
	return found
}
