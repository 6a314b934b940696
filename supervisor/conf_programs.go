package supervisor

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

const maxProcs = 10000 // of one program; a guard against a mistyped numprocs

// programs reads every section that makes processes, those in groups first as
// their group renames them.
func (r *confReader) programs() error {
	grouped := map[string]bool{}
	for _, s := range r.ini.sections {
		name, ok := strings.CutPrefix(s.name, "group:")
		if !ok {
			continue
		}
		list, err := r.value(s, r.vars, "programs", "")
		if err != nil {
			return err
		}
		for _, member := range strings.Split(list, ",") {
			member = strings.TrimSpace(member)
			if member == "" {
				continue
			}
			sec := r.ini.section("program:" + member)
			if sec == nil {
				sec = r.ini.section("fcgi-program:" + member)
			}
			if sec == nil {
				return r.fail(s, "names a program that does not exist: "+clip(member, 60))
			}
			grouped[sec.name] = true
			if err := r.program(sec, strings.TrimSpace(name)); err != nil {
				return err
			}
		}
	}
	for _, s := range r.ini.sections {
		kind, name, _ := strings.Cut(s.name, ":")
		switch kind {
		case "program", "fcgi-program", "eventlistener":
			if !grouped[s.name] {
				if err := r.program(s, strings.TrimSpace(name)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// program adds the processes of one section.
func (r *confReader) program(s *section, group string) error {
	_, name, _ := strings.Cut(s.name, ":")
	name = strings.TrimSpace(name)
	if name == "" || strings.ContainsAny(name, " :/") || strings.ContainsAny(group, " :/") {
		return r.fail(s, "a name has no spaces, colons or slashes")
	}
	vars := r.vars.with("program_name", name, "group_name", group)
	p := Program{Group: group, Section: name}
	count, first, err := r.numbers(s, vars, &p)
	if err != nil {
		return err
	}
	for n := first; n < first+count; n++ {
		q := p
		each := vars.with("process_num", strconv.Itoa(n), "numprocs", strconv.Itoa(count))
		if err := r.process(s, each, &q); err != nil {
			return err
		}
		r.conf.Programs = append(r.conf.Programs, q)
	}
	return nil
}

// numbers reads what all processes of a section have in common.
func (r *confReader) numbers(s *section, vars variables, p *Program) (count, first int, err error) {
	integer := func(key, fallback string) int {
		if err != nil {
			return 0
		}
		var text string
		if text, err = r.value(s, vars, key, fallback); err != nil {
			return 0
		}
		var n int
		if n, err = strconv.Atoi(strings.TrimSpace(text)); err != nil || n < 0 || n > 1<<24 {
			err = r.fail(s, key+": not a whole number: "+clip(text, 60))
		}
		return n
	}
	p.StartSecs, p.StopWaitSecs = integer("startsecs", "1"), integer("stopwaitsecs", "10")
	count, first = integer("numprocs", "1"), integer("numprocs_start", "0")
	if err != nil {
		return 0, 0, err
	}
	if count > maxProcs {
		return 0, 0, r.fail(s, fmt.Sprintf("numprocs: more than %d", maxProcs))
	}
	if count > 1 && !strings.Contains(s.get("process_name", ""), "%(process_num)") {
		return 0, 0, r.fail(s, "numprocs > 1 needs a process_name with %(process_num)")
	}
	text, err := r.value(s, vars, "autostart", "true")
	if err != nil {
		return 0, 0, err
	}
	if p.Autostart, err = boolean(text); err != nil {
		return 0, 0, r.fail(s, "autostart: "+err.Error())
	}
	text, err = r.value(s, vars, "stopsignal", "TERM")
	if err != nil {
		return 0, 0, err
	}
	if p.StopSignal, err = signalNumber(text); err != nil {
		return 0, 0, r.fail(s, "stopsignal: "+err.Error())
	}
	return count, first, nil
}

// process reads what differs from one process of a section to the next.
func (r *confReader) process(s *section, vars variables, p *Program) error {
	own, err := r.environment(s, vars)
	if err != nil {
		return err
	}
	vars = vars.with(own...)
	if p.Name, err = r.value(s, vars, "process_name", "%(program_name)s"); err != nil {
		return err
	}
	if p.Name = strings.TrimSpace(p.Name); p.Name == "" || strings.ContainsAny(p.Name, " :/") {
		return r.fail(s, "process_name: a name has no spaces, colons or slashes")
	}
	p.Command, _ = r.value(s, vars, "command", "") // for people; what is wrong with it supervisord says
	if p.LogFile, err = r.logFile(s, vars, "stdout_logfile"); err != nil {
		return err
	}
	if _, err := r.logFile(s, vars, "stderr_logfile"); err != nil {
		return err
	}
	if !r.strict {
		return nil
	}
	// Not used here, but supervisord dies of them, and less clearly.
	if strings.TrimSpace(s.get("command", "")) == "" {
		return r.fail(s, "has no command =")
	}
	for _, key := range []string{"command", "directory"} {
		if _, err := r.value(s, vars, key, ""); err != nil {
			return err
		}
	}
	return nil
}

func (r *confReader) logFile(s *section, vars variables, key string) (string, error) {
	v, err := r.value(s, vars, key, "auto")
	if err != nil {
		if !r.strict {
			return "", nil
		}
		return "", err
	}
	switch strings.ToLower(v) {
	case "", "auto", "none", "off", "syslog":
		return "", nil
	}
	v = r.path(v)
	r.conf.logDirs = append(r.conf.logDirs, filepath.Dir(v))
	return v, nil
}

// environment reads environment=A="x",B=y into ENV_ names and values.
func (r *confReader) environment(s *section, vars variables) ([]string, error) {
	raw := s.get("environment", "")
	if raw == "" {
		return nil, nil
	}
	for name, value := range vars {
		// The expansion happens before the quotes are read, so a quote in a
		// value would end it and let the rest set other variables.
		if strings.HasPrefix(name, "ENV_") && strings.ContainsAny(value, "\"\n\r") &&
			strings.Contains(raw, "%("+name+")") {
			return nil, r.fail(s, "environment: "+name[4:]+" holds a quote or a line break, which supervisord cannot carry")
		}
	}
	text, err := vars.expand(raw)
	if err != nil {
		if !r.strict {
			return nil, nil
		}
		return nil, r.fail(s, "environment: "+err.Error())
	}
	pairs, ok := keyValues(text)
	if !ok {
		if !r.strict {
			return nil, nil
		}
		return nil, r.fail(s, `environment: not of the form A="x",B="y"`)
	}
	return pairs, nil
}

// keyValues reads A="x",B='y',C=z to ENV_A, x, ENV_B, y, ENV_C, z.
func keyValues(s string) ([]string, bool) {
	var out []string
	for s = strings.TrimSpace(s); s != ""; {
		key, rest, ok := strings.Cut(s, "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" || strings.ContainsAny(key, " \"',\n") {
			return nil, false
		}
		rest = strings.TrimSpace(rest)
		var value string
		if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
			end := strings.IndexByte(rest[1:], rest[0])
			if end < 0 {
				return nil, false
			}
			value, rest = rest[1:end+1], strings.TrimSpace(rest[end+2:])
			if rest != "" && rest[0] != ',' {
				return nil, false
			}
		} else if at := strings.IndexByte(rest, ','); at >= 0 {
			value, rest = strings.TrimSpace(rest[:at]), rest[at:]
		} else {
			value, rest = rest, ""
		}
		out = append(out, "ENV_"+key, value)
		s = strings.TrimSpace(strings.TrimPrefix(rest, ","))
	}
	return out, true
}
