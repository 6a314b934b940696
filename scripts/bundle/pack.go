package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// target is one program of one release.
type target struct{ binary, os, arch, version string }

func (t target) name() string { return fmt.Sprintf("swf-mcp_%s_%s_%s.mcpb", t.version, t.os, t.arch) }

// long ago: a zip cannot hold an earlier time, and a build's own is nobody's
// business.
var longAgo = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// pack writes the bundle of t into a folder: a zip of the manifest, which is
// told version and platform, and the program.
func pack(manifest string, t target, folder string) error {
	m, err := fields(manifest)
	if err != nil {
		return err
	}
	m["version"] = t.version
	m["compatibility"] = map[string]any{"platforms": []string{t.os}}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	program, err := os.Open(t.binary)
	if err != nil {
		return err
	}
	defer program.Close()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(folder, t.name()))
	if err != nil {
		return err
	}
	defer f.Close()
	z := zip.NewWriter(f)
	if err := add(z, "manifest.json", 0o644, bytes.NewReader(append(text, '\n'))); err != nil {
		return err
	}
	if err := add(z, "server/swf-mcp", 0o755, program); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Close()
}

func add(z *zip.Writer, name string, mode fs.FileMode, r io.Reader) error {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: longAgo}
	h.SetMode(mode)
	w, err := z.CreateHeader(h)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return err
}

// fields reads a JSON object.
func fields(path string) (map[string]any, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}
