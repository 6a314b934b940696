package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// FileOptions bound a File. Zero values are the defaults.
type FileOptions struct {
	MaxBytes int64            // of one file; default 16 MiB
	Keep     int              // rotated files; default 20
	MaxAge   time.Duration    // of a rotated file; default 400 days
	Now      func() time.Time // default time.Now
}

// File appends to a file of mode 0600 and rotates it: NAME becomes NAME.TIME.
// Several processes may append to one (each assistant starts a stdio server of
// its own), so every Write looks whether the name still means this file, and
// who rotates holds a lock on it. Safe for concurrent use.
type File struct {
	path string
	o    FileOptions

	mu sync.Mutex
	f  *os.File
	is fs.FileInfo // of f when it was opened: which file it is
}

// OpenFile returns a File. Nothing is touched before the first Write.
func OpenFile(path string, o FileOptions) *File {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 16 << 20
	}
	if o.Keep <= 0 {
		o.Keep = 20
	}
	if o.MaxAge <= 0 {
		o.MaxAge = 400 * 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &File{path: path, o: o}
}

// Write appends b whole, in one system call. After an error the next Write
// opens the file anew.
func (f *File) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(int64(len(b))); err != nil {
		f.close()
		return 0, err
	}
	n, err := f.f.Write(b)
	if err != nil {
		if n > 0 {
			_, _ = f.f.Write([]byte{'\n'}) // half a line must not swallow the next one
		}
		f.close()
	}
	return n, err
}

// Close closes the file; a later Write opens it again.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.close()
}

func (f *File) close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}

// ready makes f.f the file of that name with room for n more bytes.
func (f *File) ready(n int64) error {
	size, named := f.named()
	if !named { // there is none yet, or another process has rotated it
		f.close()
		if err := f.open(); err != nil {
			return err
		}
		size = f.is.Size()
	}
	if size == 0 || size+n <= f.o.MaxBytes {
		return nil
	}
	if err := f.rotate(); err != nil {
		return err
	}
	f.close()
	return f.open()
}

// open refuses a link and what is no file of ours: the trail must not be led
// elsewhere.
func (f *File) open() error {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	file, err := os.OpenFile(f.path, flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(f.path), 0o700); err == nil {
			file, err = os.OpenFile(f.path, flags, 0o600)
		}
	}
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", f.path)
	}
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = file.Chmod(0o600)
	}
	if err != nil {
		file.Close()
		return err
	}
	f.f, f.is = file, info
	return nil
}

// named reports whether the name means the open file, and how long that is by
// now.
func (f *File) named() (size int64, ok bool) {
	if f.f == nil {
		return 0, false
	}
	now, err := os.Lstat(f.path)
	if err != nil || !os.SameFile(f.is, now) {
		return 0, false
	}
	return now.Size(), true
}

// rotate renames the file, unless another process did so while this one waited
// for the lock, and removes those that are too old or too many.
func (f *File) rotate() error {
	if err := syscall.Flock(int(f.f.Fd()), syscall.LOCK_EX); err != nil { // ends with the descriptor
		return err
	}
	if _, ok := f.named(); !ok {
		return nil
	}
	now := f.o.Now().UTC()
	name := f.path + "." + now.Format("20060102T150405.000000000Z")
	if err := os.Rename(f.path, name); err != nil {
		return err
	}
	old, err := filepath.Glob(f.path + ".2*")
	if err != nil {
		return err
	}
	slices.Sort(old) // by time
	for i, path := range old {
		info, err := os.Lstat(path)
		if err == nil && (len(old)-i > f.o.Keep || now.Sub(info.ModTime()) > f.o.MaxAge) {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
