package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// source parses a Go file of the repository, with its comments.
func source(path string) (*ast.File, error) {
	return parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.ParseComments|parser.SkipObjectResolution)
}

// errorCodes are those of swf, a row for each group of them: the comment above
// it is what they are about.
func errorCodes() (string, error) {
	file, err := source("swf/error.go")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, d := range file.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST {
			continue
		}
		for i, spec := range gen.Specs {
			v := spec.(*ast.ValueSpec)
			if id, ok := v.Type.(*ast.Ident); !ok || id.Name != "Code" {
				continue
			}
			if v.Doc != nil {
				if i > 0 {
					b.WriteString(" |\n")
				}
				fmt.Fprintf(&b, "| %s |", strings.ToLower(strings.TrimSuffix(strings.TrimSpace(v.Doc.Text()), ".")))
			}
			code, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, " `%s`", code)
		}
	}
	return b.String() + " |\n", nil
}

// setting is one key of a settings file: a field of a struct.
type setting struct {
	key, kind, doc string
	value          reflect.Value // its default
	fields         []setting     // of a section
}

// settings reads the fields of a struct in config/FILE: names by their toml
// tags, what they mean by their comments, defaults from the value.
func settings(file, name string, defaults reflect.Value) ([]setting, error) {
	f, err := source("config/" + file)
	if err != nil {
		return nil, err
	}
	fields := fieldsOf(f, name)
	if fields == nil {
		return nil, fmt.Errorf("config/%s has no struct %s", file, name)
	}
	var list []setting
	doc := ""
	keys := []string{} // Go's names, and the file's
	for _, field := range fields.List {
		if field.Tag == nil {
			continue
		}
		tag, err := strconv.Unquote(field.Tag.Value)
		if err != nil {
			return nil, err
		}
		own := field.Doc.Text()
		if own != "" {
			doc = own
		}
		s := setting{key: reflect.StructTag(tag).Get("toml"), doc: doc, value: defaults.FieldByName(field.Names[0].Name)}
		keys = append([]string{field.Names[0].Name, "`" + s.key + "`"}, keys...) // the longer of two that begin alike comes later
		s.kind = s.value.Type().String()
		if s.value.Kind() == reflect.Struct {
			if s.fields, err = settings(file, s.value.Type().Name(), s.value); err != nil {
				return nil, err
			}
		}
		list = append(list, s)
	}
	for i := range list {
		list[i].doc = strings.NewReplacer(keys...).Replace(sentence(list[i].doc))
	}
	return list, nil
}

// fieldsOf are the fields of a struct type of a file; nil if it has none such.
func fieldsOf(f *ast.File, name string) *ast.FieldList {
	var fields *ast.FieldList
	ast.Inspect(f, func(n ast.Node) bool {
		if t, ok := n.(*ast.TypeSpec); ok && t.Name.Name == name {
			if s, ok := t.Type.(*ast.StructType); ok {
				fields = s.Fields
			}
		}
		return fields == nil
	})
	return fields
}
