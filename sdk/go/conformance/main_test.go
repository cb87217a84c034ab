package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheMigrationsAreThoseOfAllLanguages(t *testing.T) {
	files, err := filepath.Glob("../../conformance/migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v: no migrations", err)
	}
	for _, file := range files {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := migrations.ReadFile("migrations/" + filepath.Base(file))
		if err != nil || string(got) != string(want) {
			t.Errorf("copy %s to migrations/ (%v)", file, err)
		}
	}
}
