package eventfabric

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// Migration is a step in the making of the plugin's tables.
type Migration struct {
	Number uint32
	Name   string
	SQL    string
}

// migrationsOf finds the `.sql` files in a file system, in the order of their numbers. Number and name come from the
// file's name: `001_create_accounts.sql` is step 1, `create accounts`.
func migrationsOf(files fs.FS) ([]Migration, error) {
	if files == nil {
		return nil, nil
	}
	var steps []Migration
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".sql") {
			return err
		}
		digits, name, found := strings.Cut(strings.TrimSuffix(entry.Name(), ".sql"), "_")
		number, err := strconv.ParseUint(digits, 10, 32)
		if !found || err != nil || number == 0 {
			return fmt.Errorf("a migration's file is named by number and purpose, such as 001_create_accounts.sql; %s is not", path)
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		steps = append(steps, Migration{uint32(number), strings.ReplaceAll(name, "_", " "), string(text)})
		return nil
	})
	slices.SortFunc(steps, func(a, b Migration) int { return int(a.Number) - int(b.Number) })
	return steps, err
}
