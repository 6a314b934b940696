package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// What decides for us, or is secret, must be ours alone: whoever may write it
// may act as us. It is refused, not mended, for what stands in it may be
// somebody else's already.

// secretFile reports whether a file of that name holds a secret.
func secretFile(name string) bool {
	switch filepath.Ext(name) {
	case ".key", ".token", ".passcode":
		return true
	}
	return false
}

// checkOwn refuses a file or folder that belongs to another user or that other
// users may change; a secret also where they may read it. root's are as good as
// ours.
func checkOwn(path string, info fs.FileInfo, secret bool) error {
	mode, fix := info.Mode().Perm(), "600"
	if info.IsDir() {
		fix = "700"
	}
	switch {
	case !ownedByUs(info) && !ownedByRoot(info):
		return swf.E(swf.CodeEnvironment, path+" belongs to another user, who could change it at any time", "move it away and make your own, or: sudo chown $USER "+path)
	case mode&0o002 != 0 || secret && mode&0o020 != 0:
		return swf.E(swf.CodeEnvironment, path+" can be changed by other users", fmt.Sprintf("look whether it is as you left it, then: chmod %s %s", fix, path))
	case secret && mode&0o077 != 0:
		return swf.E(swf.CodeEnvironment, path+" is secret and can be read by other users", "make a new secret if that matters, then: chmod 600 "+path)
	}
	return nil
}

// checkDir refuses a testbed folder in which anybody may change what is run:
// the folder, the supervisord file, the .env.
func checkDir(dir string) error {
	for _, path := range []string{dir, filepath.Join(dir, "agents.supervisord.conf"), filepath.Join(dir, ".env"), filepath.Join(dir, "workflows")} {
		info, err := os.Stat(path)
		if err == nil && info.Mode().Perm()&0o002 != 0 {
			return swf.E(swf.CodeEnvironment, path+" can be changed by every user of this host, and it decides what is run as you",
				"look whether it is as you left it, then: chmod o-w "+path)
		}
	}
	return nil
}

// checkWritten deals with a folder of ours that others may write to: an empty
// one is closed, in another there may be something of theirs.
func checkWritten(folder string) error {
	if entries, err := os.ReadDir(folder); err == nil && len(entries) == 0 {
		return os.Chmod(folder, 0o700)
	}
	return swf.E(swf.CodeEnvironment, "other users may write to the folder "+folder, "look whether what is in it is yours, then: chmod 700 "+folder)
}

// maxOwn bounds how many entries of a folder of ours are looked at.
const maxOwn = 4096

// checkFiles looks at everything in a folder of ours, and in the folders right
// below it.
func checkFiles(folder string, deeper bool) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return swf.E(swf.CodeEnvironment, "the folder "+folder+" cannot be read", "chmod 700 "+folder).Because(err)
	}
	for _, e := range entries[:min(len(entries), maxOwn)] {
		path := filepath.Join(folder, e.Name())
		info, err := os.Stat(path) // a link counts as what it leads to
		if err != nil || strings.HasPrefix(e.Name(), ".") {
			continue // gone meanwhile, or a link to nothing: who needs it will say so
		}
		if err := checkOwn(path, info, info.Mode().IsRegular() && secretFile(e.Name())); err != nil {
			return err
		}
		if deeper && info.IsDir() {
			if err := checkFiles(path, false); err != nil {
				return err
			}
		}
	}
	return nil
}
