package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// Sources says where configurations are looked for: the workflows/ folder of
// the testbed folder Dir first, then Embedded (files at its root; may be nil).
// Getenv is asked for SWF_TESTBED_CONFIG alone; nil means nothing is set.
// Sources is read only and may be used from several goroutines.
type Sources struct {
	Dir      string
	Embedded fs.FS
	Getenv   func(string) string
}

// testbedFile is the configuration that is used when none is named, and that
// lends its namespace and agents to files that have none.
const testbedFile = "testbed.toml"

func (s Sources) getenv(key string) string {
	if s.Getenv == nil {
		return ""
	}
	return s.Getenv(key)
}

// candidates lists the file names that a configuration name stands for, in
// the order of design 4b.8: NAME, NAME.toml, NAME_default.toml.
func candidates(name string) []string {
	base := strings.TrimSuffix(name, ".toml")
	list := []string{base + ".toml", base + "_default.toml"}
	if name == base {
		list = append([]string{name}, list...)
	}
	return list
}

// find returns the file a name stands for. All names are tried in the folder
// before any embedded one, so that a user's file always wins.
func (s Sources) find(name string) (*document, error) {
	if err := swf.CheckName(swf.KindConfig, name); err != nil {
		return nil, err
	}
	for _, look := range []func(string) (*document, error){s.fromFolder, s.fromEmbedded} {
		for _, file := range candidates(name) {
			if !strings.HasSuffix(file, ".toml") && !s.isPlainFile(file) {
				continue // workflows/fast_processing may well be a folder
			}
			d, err := look(file)
			if !errors.Is(err, fs.ErrNotExist) {
				return d, err
			}
		}
	}
	all := ListConfigs(s)
	return nil, swf.E(swf.CodeUnknownConfig, fmt.Sprintf("there is no configuration %q", name),
		suggest(strings.TrimSuffix(name, ".toml")+".toml", "there are", all))
}

func (s Sources) isPlainFile(file string) bool {
	info, err := os.Lstat(filepath.Join(s.Dir, "workflows", file))
	return err == nil && info.Mode().IsRegular()
}

// fromFolder reads one file of the folder's workflows/; testbed.toml may also
// stand in the folder itself. fs.ErrNotExist when there is none.
func (s Sources) fromFolder(file string) (*document, error) {
	if s.Dir == "" {
		return nil, fs.ErrNotExist
	}
	d, err := readIn(filepath.Join(s.Dir, "workflows"), file, "workflows/"+file)
	if file == testbedFile && errors.Is(err, fs.ErrNotExist) {
		return readIn(s.Dir, file, file)
	}
	return d, err
}

// readIn reads a file through an os.Root, so that neither its name nor a link
// leads out of the folder.
func readIn(folder, file, shown string) (*document, error) {
	root, err := os.OpenRoot(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, refuseFile(filepath.Dir(shown), err)
	}
	defer root.Close()
	if _, err := root.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, fs.ErrNotExist
	}
	text, err := readRegular(root, file)
	if err != nil {
		return nil, refuseFile(shown, err)
	}
	return parse(shown, filepath.Join(folder, file), file, text)
}

// refuseFile is the error for a file that is there but is not read. It does
// not wrap err: fs.ErrNotExist in it would make the search go on.
func refuseFile(shown string, err error) error {
	why := reason(err)
	if strings.Contains(err.Error(), "escapes") {
		why = "leads outside of its folder"
	}
	return swf.E(swf.CodeInvalidConfig, shown+" "+why,
		fmt.Sprintf("put a regular TOML file of at most %d KiB there", maxFile>>10))
}

func (s Sources) fromEmbedded(file string) (*document, error) {
	if s.Embedded == nil {
		return nil, fs.ErrNotExist
	}
	text, err := fs.ReadFile(s.Embedded, file)
	if err != nil {
		return nil, fs.ErrNotExist
	}
	return parse("built-in "+file, "", file, text)
}

// fromPath reads the file that the user's own environment or program named:
// any path, but a small regular file. A relative path starts in the folder.
func (s Sources) fromPath(path string) (*document, error) {
	if strings.ContainsRune(path, 0) {
		return nil, swf.E(swf.CodeInvalidArgument, "the path of the configuration holds a NUL", "name a file")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.Dir, path)
	}
	text, err := readRegular(plainFS{}, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, swf.E(swf.CodeUnknownConfig, fmt.Sprintf("there is no file %s", short(path)),
			"unset SWF_TESTBED_CONFIG or name one of: "+strings.Join(ListConfigs(s), ", "))
	}
	if err != nil {
		return nil, refuseFile(short(path), err)
	}
	return parse(short(path), path, filepath.Base(path), text)
}

// ListConfigs lists the configurations that Load would take, by file name and
// sorted: those of the folder and the embedded ones. Files made to be included
// only are left out; files with mistakes are not.
func ListConfigs(s Sources) []string {
	var names []string
	add := func(file string, look func(string) (*document, error)) {
		if swf.CheckName(swf.KindConfig, file) != nil || !strings.HasSuffix(file, ".toml") || slices.Contains(names, file) {
			return
		}
		d, err := look(file)
		if errors.Is(err, fs.ErrNotExist) || (err == nil && len(d.tables) == 0) {
			return
		}
		names = append(names, file)
	}
	entries, _ := os.ReadDir(filepath.Join(s.Dir, "workflows"))
	for _, e := range entries[:min(len(entries), 256)] {
		if e.Type()&^fs.ModeSymlink == 0 {
			add(e.Name(), s.fromFolder)
		}
	}
	add(testbedFile, s.fromFolder)
	if s.Embedded != nil {
		embedded, _ := fs.Glob(s.Embedded, "*.toml")
		for _, file := range embedded {
			add(file, s.fromEmbedded)
		}
	}
	slices.Sort(names)
	return names
}
