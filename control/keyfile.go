package control

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/epic-swf/testbed/swf"
)

// A key file holds the keys of one user, one a line, the newest last:
//
//	ID SECRET [UNTIL]
//
// ID is 8 hex digits, SECRET 32 to 128 of them, and UNTIL the time at which the
// key dies (RFC 3339). Lines that begin with # say something to people.

// maxKeyFile is the size in bytes above which a file holds no keys.
const maxKeyFile = 16 << 10

// ParseRing reads the text of a key file. name is how errors call it; no error
// shows what is in it.
func ParseRing(name string, text []byte) (Ring, error) {
	var r Ring
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k, ok := parseKey(strings.Fields(line))
		if !ok || slices.ContainsFunc(r.keys, func(other Key) bool { return other.ID == k.ID }) {
			return Ring{}, swf.E(swf.CodeEnvironment, fmt.Sprintf("line %d of %s is no control key", n, name), "move the file away and make a new key: testbed init")
		}
		r.keys = append(r.keys, k)
	}
	if lines.Err() != nil || len(r.keys) == 0 || len(r.keys) > maxKeys {
		return Ring{}, swf.E(swf.CodeEnvironment, fmt.Sprintf("%s holds no control keys", name), "move the file away and make a new key: testbed init")
	}
	return r, nil
}

func parseKey(fields []string) (k Key, ok bool) {
	if len(fields) < 2 || len(fields) > 3 || len(fields[0]) > 16 || strings.Contains(fields[0], ";") {
		return k, false
	}
	k.ID = fields[0]
	var err error
	if _, err = hex.DecodeString(k.ID); err != nil {
		return k, false
	}
	if k.Secret, err = hex.DecodeString(fields[1]); err != nil || len(k.Secret) < 16 || len(k.Secret) > 64 {
		return k, false
	}
	if len(fields) == 3 {
		k.Until, err = time.Parse(time.RFC3339, fields[2])
	}
	return k, err == nil
}

// Text is the ring as a key file holds it. It is as secret as the keys.
func (r Ring) Text() []byte {
	var b bytes.Buffer
	for _, k := range r.keys {
		fmt.Fprintf(&b, "%s %s", k.ID, hex.EncodeToString(k.Secret))
		if !k.Until.IsZero() {
			fmt.Fprintf(&b, " %s", k.Until.UTC().Format(time.RFC3339))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// ReadRing reads a key file. One that others may read or write, that belongs
// to another user, or that is no regular file is refused.
func ReadRing(path string) (Ring, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, syscall.ELOOP) {
		return Ring{}, swf.E(swf.CodeEnvironment, fmt.Sprintf("the control key %s is a link", path), "put the file itself there")
	}
	if err != nil {
		return Ring{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Ring{}, err
	}
	if err := checkKeyFile(path, info); err != nil {
		return Ring{}, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return Ring{}, err
	}
	if len(text) > maxKeyFile {
		text = nil // no keys
	}
	return ParseRing(path, text)
}

func checkKeyFile(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return swf.E(swf.CodeEnvironment, fmt.Sprintf("the control key %s is no regular file", path), "move it away and run testbed init again")
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != os.Geteuid() {
		return swf.E(swf.CodeEnvironment, fmt.Sprintf("the control key %s belongs to another user (uid %d)", path, sys.Uid), "sudo chown $USER "+path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return swf.E(swf.CodeEnvironment, fmt.Sprintf("the control key %s can be read by others", path), "chmod 600 "+path)
	}
	return nil
}

// WriteRing puts a key file in the place of the one that is there: whole, of
// mode 0600 and on disk, or not at all.
func WriteRing(path string, r Ring) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".key-") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails, as it should, once renamed
	_, err = f.Write(r.Text())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// WriteKey stores a key in a new file of mode 0600. It refuses to overwrite.
func WriteKey(path string, k Key) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(k.Ring().Text())
	return errors.Join(err, f.Close())
}

// ReadKey reads a key file and returns its newest key that lives.
func ReadKey(path string) (Key, error) {
	r, err := ReadRing(path)
	if err != nil {
		return Key{}, err
	}
	k := r.Newest()
	if k.IsZero() {
		return Key{}, swf.E(swf.CodeEnvironment, fmt.Sprintf("every control key in %s has died", path), "make a new one: testbed key rotate")
	}
	return k, nil
}

// KeyFile follows a key file: what a rotation writes counts at once, without a
// restart. A file that went away or cannot be used any more leaves the keys
// that were read last, for nothing must become unsigned by an accident. Safe
// for concurrent use.
type KeyFile struct {
	Path string
	Log  *slog.Logger // told of trouble, once each; nil for none

	mu      sync.Mutex
	ring    Ring
	seen    fs.FileInfo
	trouble string
}

// Ring returns the keys. It is zero where there was never a file.
func (f *KeyFile) Ring() Ring {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Lstat(f.Path)
	if err == nil && f.seen != nil && sameFile(f.seen, info) {
		return f.ring
	}
	var r Ring
	if err == nil {
		r, err = ReadRing(f.Path)
	}
	if err == nil {
		if f.seen != nil {
			f.log().Info("control keys read anew", "path", f.Path, "keys", r.IDs())
		}
		f.ring, f.seen, f.trouble = r, info, ""
		return r
	}
	if missing := errors.Is(err, fs.ErrNotExist) && f.ring.IsZero(); !missing && err.Error() != f.trouble {
		f.trouble = err.Error()
		f.log().Error("control keys cannot be read; those read last go on to count", "path", f.Path, "err", err, "hint", swf.AsError(err).Hint)
	}
	return f.ring
}

func (f *KeyFile) log() *slog.Logger {
	if f.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return f.Log
}

// sameFile reports whether nothing was written in between: a rotation makes a
// new inode, an editor at least another time or size.
func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}
