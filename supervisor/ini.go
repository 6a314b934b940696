package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

const maxConfSize = 4 << 20 // bytes in one file; no sane configuration comes near

// section is one [name] with its options, keys in lower case. Values are raw:
// no expansion but %(here)s of included files.
type section struct {
	name    string
	file    string // where it began
	line    int
	options map[string]string
}

func (s *section) get(key, fallback string) string {
	if v, ok := s.options[key]; ok {
		return v
	}
	return fallback
}

// iniFile is the sections in order of appearance, same names merged, the later
// option winning: the way supervisord's own parser reads them.
type iniFile struct {
	sections []*section
	defaults map[string]string // [DEFAULT], which every section inherits
}

func (f *iniFile) section(name string) *section {
	for _, s := range f.sections {
		if s.name == name {
			return s
		}
	}
	return nil
}

// iniParser is the state between two lines.
type iniParser struct {
	ini     *iniFile
	file    string
	current map[string]string
	option  string   // the one that indented lines continue; "" when none
	value   []string // its lines so far
	indent  int
}

func (p *iniParser) fail(line int, format string, args ...any) error {
	return &ConfError{Path: p.file, Line: line, Problem: fmt.Sprintf(format, args...)}
}

// parseINI adds the text of one file to ini.
func parseINI(ini *iniFile, file, text string) error {
	p := &iniParser{ini: ini, file: file}
	text = strings.TrimPrefix(text, "\ufeff")
	for i, raw := range strings.Split(text, "\n") {
		if err := p.line(i+1, strings.TrimSuffix(raw, "\r")); err != nil {
			return err
		}
	}
	p.flush()
	return nil
}

// flush stores the option whose lines have all been seen.
func (p *iniParser) flush() {
	if p.option != "" {
		p.current[p.option] = strings.Join(p.value, "\n")
	}
	p.option, p.value = "", nil
}

func (p *iniParser) line(n int, raw string) error {
	line := stripComment(raw)
	text := strings.TrimSpace(line)
	if text == "" {
		// A blank line may stand inside a value of several lines, a comment
		// too; the next line's indentation decides.
		return nil
	}
	indent := len(line) - len(strings.TrimLeft(line, " \t\f\v"))
	if p.option != "" && indent > p.indent {
		p.value = append(p.value, text)
		return nil
	}
	p.flush()
	p.indent = indent
	if strings.HasPrefix(text, "[") {
		return p.header(n, text)
	}
	if p.current == nil {
		return p.fail(n, "an option before the first [section]")
	}
	at := strings.IndexAny(text, "=:")
	if at < 0 {
		return p.fail(n, "neither [section] nor option = value: %s", clip(text, 60))
	}
	key := strings.ToLower(strings.TrimSpace(text[:at]))
	if key == "" {
		return p.fail(n, "a value without an option name")
	}
	p.option, p.value = key, []string{strings.TrimSpace(text[at+1:])}
	return nil
}

func (p *iniParser) header(n int, text string) error {
	end := strings.LastIndexByte(text, ']')
	if end < 2 {
		return p.fail(n, "a section header without a name or ]")
	}
	name := text[1:end]
	if name == "DEFAULT" {
		if p.ini.defaults == nil {
			p.ini.defaults = map[string]string{}
		}
		p.current = p.ini.defaults
		return nil
	}
	s := p.ini.section(name)
	if s == nil {
		s = &section{name: name, file: p.file, line: n, options: map[string]string{}}
		p.ini.sections = append(p.ini.sections, s)
	}
	p.current = s.options
	return nil
}

// stripComment takes away what begins with ; or # at the start of a line or
// after white space. Quotes do not protect: supervisord knows none here.
func stripComment(line string) string {
	for i := 0; i < len(line); i++ {
		if line[i] != ';' && line[i] != '#' {
			continue
		}
		if i == 0 || line[i-1] == ' ' || line[i-1] == '\t' {
			return line[:i]
		}
	}
	return line
}

// loadINI reads path and what its [include] names, which are relative to it.
func loadINI(path string, vars variables) (*iniFile, error) {
	ini := &iniFile{}
	if err := readINI(ini, path); err != nil {
		return nil, err
	}
	inc := ini.section("include")
	if inc != nil {
		files, ok := inc.options["files"]
		if !ok {
			return nil, &ConfError{Path: path, Line: inc.line, Problem: "[include] without files ="}
		}
		files, err := vars.expand(files)
		if err != nil {
			return nil, &ConfError{Path: path, Line: inc.line, Problem: "[include] files: " + err.Error()}
		}
		if err := includeINI(ini, path, strings.Fields(files)); err != nil {
			return nil, err
		}
	}
	for _, s := range ini.sections {
		for k, v := range ini.defaults {
			if _, ok := s.options[k]; !ok {
				s.options[k] = v
			}
		}
	}
	return ini, nil
}

// includeINI reads the files that the patterns match. %(here)s means the folder
// of the file it stands in, so it is replaced before the next file is read.
func includeINI(ini *iniFile, path string, patterns []string) error {
	base := filepath.Dir(path)
	ini.setHere(base)
	for _, pattern := range patterns {
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(base, pattern)
		}
		names, err := filepath.Glob(pattern)
		if err != nil {
			return &ConfError{Path: path, Problem: "[include] files: bad pattern " + pattern}
		}
		sort.Strings(names)
		for _, name := range names {
			if err := readINI(ini, name); err != nil {
				return err
			}
			ini.setHere(filepath.Dir(name))
		}
	}
	return nil
}

func (f *iniFile) setHere(dir string) {
	for _, s := range f.sections {
		for k, v := range s.options {
			s.options[k] = strings.ReplaceAll(v, "%(here)s", dir)
		}
	}
}

func readINI(ini *iniFile, path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return &ConfError{Path: path, Problem: "cannot be read: " + reason(err)}
	}
	if !st.Mode().IsRegular() || st.Size() > maxConfSize {
		return &ConfError{Path: path, Problem: "is not a configuration file"}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return &ConfError{Path: path, Problem: "cannot be read: " + reason(err)}
	}
	return parseINI(ini, path, string(b))
}
