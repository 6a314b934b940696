package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/epic-swf/testbed/swf"
)

// readStrict decodes a settings file into into, which holds the defaults. A
// missing file changes nothing; a key that into does not have is an error.
func readStrict(path string, into any) error {
	raw, err := readRegular(plainFS{}, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return swf.E(swf.CodeInvalidConfig, path+" "+reason(err), "correct or remove the file")
	}
	if info, err := os.Stat(path); err == nil {
		if err := checkOwn(path, info, false); err != nil {
			return err
		}
	}
	return decodeStrict(path, string(raw), into)
}

func decodeStrict(path, text string, into any) error {
	shown := filepath.Base(path)
	lines, bad := scan(text)
	if bad != nil {
		return swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%s:%d: %s", shown, bad.line, bad.text), "correct that line; the file is TOML")
	}
	meta, err := toml.Decode(text, into)
	if err != nil {
		if m := wrongTypeRE.FindStringSubmatch(err.Error()); m != nil {
			return swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%s:%s: %s is of the wrong type", shown, m[1], short(m[2])),
				"a number, a text in quotes, true or false: see its default; without the line that counts")
		}
		return parseFailure(shown, err)
	}
	for _, key := range meta.Undecoded() {
		valid := keysAt(reflect.TypeOf(into), key[:len(key)-1])
		line := lines[dotted(key...)]
		return swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%s:%d: unknown setting %s", shown, line, short(key.String())),
			suggest(key[len(key)-1], "there are", valid))
	}
	return nil
}

// wrongTypeRE reads what the decoder says of a value that does not fit; it has
// no type for that.
var wrongTypeRE = regexp.MustCompile(`line (\d+) \(last key "(.+?)"\):`)

// keysAt lists the keys that the type has at the end of a path of tables.
func keysAt(t reflect.Type, path []string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var keys []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("toml"), ",")
		if name == "" || name == "-" {
			continue
		}
		if len(path) > 0 && name == path[0] {
			return keysAt(t.Field(i).Type, path[1:])
		}
		keys = append(keys, name)
	}
	if len(path) > 0 {
		return nil
	}
	return keys
}

// invalidSetting is the error for a value that has the right type only.
func invalidSetting(path, key, what, hint string) error {
	return swf.E(swf.CodeInvalidConfig, fmt.Sprintf("%s: %s %s", filepath.Base(path), key, what), hint)
}
