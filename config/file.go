package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// maxFile is the size in bytes above which no file of a user is read.
const maxFile = 64 << 10

// errNotRegular and errTooBig say why a file that exists is not read.
var (
	errNotRegular = errors.New("is not a regular file")
	errTooBig     = fmt.Errorf("is larger than %d KiB", maxFile>>10)
)

// opener is what os.Root and the plain file system have in common here.
type opener interface {
	Stat(name string) (os.FileInfo, error)
	OpenFile(name string, flag int, perm os.FileMode) (*os.File, error)
}

// plainFS opens by path, following links wherever they lead.
type plainFS struct{}

func (plainFS) Stat(name string) (os.FileInfo, error) { return os.Stat(name) }
func (plainFS) OpenFile(name string, flag int, perm os.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}

// readRegular reads a small regular file. A FIFO or a device is refused
// before it is opened, and once more after, in case it was exchanged;
// O_NONBLOCK keeps even that open from waiting.
func readRegular(o opener, name string) ([]byte, error) {
	info, err := o.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := o.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, errTooBig
	}
	return text, nil
}

// reason tells why a file could not be read, without its path or content.
func reason(err error) string {
	var pe *os.PathError
	switch {
	case errors.Is(err, errNotRegular), errors.Is(err, errTooBig):
		return err.Error()
	case errors.Is(err, os.ErrNotExist):
		return "is a link to nothing"
	case errors.Is(err, os.ErrPermission):
		return "may not be read by you"
	case errors.As(err, &pe):
		return "cannot be read: " + pe.Err.Error()
	}
	return "cannot be read"
}

// writeAtomic makes the file appear whole, with mode 0600, or not at all. It
// replaces what was there, and the bytes are on disk when it returns.
func writeAtomic(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails, as it should, once renamed
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
