package control

import "time"

// plain reads in one pass the JSON that managers and clients of ours write when
// nothing special is in it: no white space, and of values whole numbers, times
// and strings of printable ASCII without escapes, or an object or a list of
// them. What it does not know it does not judge: it reports false, and
// encoding/json reads the message from its beginning. So there is one grammar,
// and two speeds.
type plain struct {
	text string
	at   int // of the next byte
}

// skip passes over c if that is the next byte.
func (p *plain) skip(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// quoted is the string that comes next, without its quotes.
func (p *plain) quoted() (string, bool) {
	if !p.skip('"') {
		return "", false
	}
	for begin := p.at; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return p.text[begin : p.at-1], true
		case c < ' ' || c > '~' || c == '\\':
			return "", false
		}
	}
	return "", false
}

// list reads what stands between open and end, each item with item.
func (p *plain) list(open, end byte, item func() bool) bool {
	if !p.skip(open) {
		return false
	}
	for first := true; !p.skip(end); first = false {
		if !first && !p.skip(',') || !item() {
			return false
		}
	}
	return true
}

// object reads an object; member is to read the value of the name it is given.
func (p *plain) object(member func(name string) bool) bool {
	return p.list('{', '}', func() bool {
		name, ok := p.quoted()
		return ok && p.skip(':') && member(name)
	})
}

// whole reports whether the text is one object and nothing else.
func (p *plain) whole(member func(name string) bool) bool {
	return p.object(member) && p.at == len(p.text)
}

func plainText[S ~string](p *plain, to *S) bool {
	s, ok := p.quoted()
	*to = S(s)
	return ok
}

func (p *plain) texts(to *[]string) bool {
	*to = []string{}
	return p.list('[', ']', func() bool {
		s, ok := p.quoted()
		*to = append(*to, s)
		return ok
	})
}

// time leaves it to time.Time what a time is.
func (p *plain) time(to *time.Time) bool {
	begin := p.at
	_, ok := p.quoted()
	return ok && to.UnmarshalJSON([]byte(p.text[begin:p.at])) == nil
}

func (p *plain) timeAt(to **time.Time) bool {
	*to = new(time.Time)
	return p.time(*to)
}

// number reads up to nine digits. What follows them is looked at by the caller.
func (p *plain) number(to *int) bool {
	begin, n := p.at, 0
	for ; p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9'; p.at++ {
		n = 10*n + int(p.text[p.at]-'0')
		if p.at-begin == 9 {
			return false
		}
	}
	*to = n
	return p.at == begin+1 || p.at > begin && p.text[begin] != '0'
}

// plain reads a command without params and of.
func (c *Command) plain(body []byte) bool {
	p := &plain{text: string(body)}
	return p.whole(func(name string) bool {
		switch name {
		case "command":
			return plainText(p, &c.Verb)
		case "command_id":
			return plainText(p, &c.ID)
		case "username":
			return plainText(p, &c.Username)
		case "config_name":
			return plainText(p, &c.ConfigName)
		case "issued_by":
			return plainText(p, &c.IssuedBy)
		case "issued_at":
			return p.time(&c.IssuedAt)
		case "expires_at":
			return p.time(&c.ExpiresAt)
		case "reply_to":
			return plainText(p, &c.ReplyTo)
		case "source":
			return plainText(p, &c.Source)
		case "call_id":
			return plainText(p, &c.CallID)
		case "timestamp":
			return plainText(p, &c.Timestamp)
		}
		return false
	})
}

// plain reads a reply that tells of the manager alone, not of programs.
func (r *Reply) plain(body []byte) bool {
	p := &plain{text: string(body)}
	return p.whole(func(name string) bool {
		switch name {
		case "command_id":
			return plainText(p, &r.CommandID)
		case "intent":
			return plainText(p, &r.Intent)
		case "kind":
			return plainText(p, &r.Kind)
		case "outcome":
			return plainText(p, &r.Outcome)
		case "message":
			return plainText(p, &r.Message)
		case "namespace":
			return plainText(p, &r.Namespace)
		case "config":
			return plainText(p, &r.Config)
		case "pong":
			if r.Pong != nil {
				return false
			}
			r.Pong = new(Pong)
			return p.object(func(name string) bool { return r.Pong.member(p, name) })
		}
		return false
	})
}

func (g *Pong) member(p *plain, name string) bool {
	switch name {
	case "protocol":
		return p.number(&g.Protocol)
	case "instance":
		return plainText(p, &g.Instance)
	case "username":
		return plainText(p, &g.Username)
	case "host":
		return plainText(p, &g.Host)
	case "pid":
		return p.number(&g.PID)
	case "version":
		return plainText(p, &g.Version)
	case "now":
		return p.time(&g.Now)
	case "state":
		return plainText(p, &g.State)
	case "namespace":
		return plainText(p, &g.Namespace)
	case "config":
		return plainText(p, &g.Config)
	case "dir":
		return plainText(p, &g.Dir)
	case "busy_with":
		return plainText(p, &g.BusyWith)
	case "busy_id":
		return plainText(p, &g.BusyID)
	case "busy_since":
		return p.timeAt(&g.BusySince)
	case "key_ids":
		return p.texts(&g.KeyIDs)
	case "supervisord":
		return plainText(p, &g.Supervisor)
	case "sealed":
		return plainText(p, &g.Sealed)
	}
	return false
}
