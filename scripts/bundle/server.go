package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// releases is where the bundles of a version are published.
const releases = "https://github.com/epic-swf/testbed/releases/download/v"

// server writes what the registry is told: each bundle's address and digest.
func server(description, version, folder string, out io.Writer) error {
	s, err := fields(description)
	if err != nil {
		return err
	}
	bundles, err := filepath.Glob(filepath.Join(folder, "swf-mcp_"+version+"_*.mcpb"))
	if err != nil || len(bundles) == 0 {
		return fmt.Errorf("there is no bundle of version %s in %s", version, folder)
	}
	var packages []map[string]any
	for _, path := range bundles { // Glob sorts
		sum, err := digest(path)
		if err != nil {
			return err
		}
		packages = append(packages, map[string]any{
			"registryType": "mcpb", "identifier": releases + version + "/" + filepath.Base(path), "version": version,
			"fileSha256": sum, "transport": map[string]any{"type": "stdio"},
		})
	}
	s["version"], s["packages"] = version, packages
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(s)
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
