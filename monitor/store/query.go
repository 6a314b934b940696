package store

import (
	"fmt"
	"strings"
)

// Query selects records.
type Query struct {
	Equal  map[string]any // column: value, all of them; a nil value means NULL
	Where  []Condition    // and all of these
	Limit  int            // 0 or above MaxRows: MaxRows
	Offset int
	Oldest bool // the table's order backwards
}

// Condition compares one column.
type Condition struct {
	Column string
	Is     Comparison
	Value  any  // of the column's type; for Contains a string
	Of     *Via // for In
}

// Via selects the records of another table: their column Select is what the
// condition's column must be among.
type Via struct {
	Table  *Table
	Select string
	Equal  map[string]any
}

// Comparison is how a Condition compares.
type Comparison int

// The comparisons. NULL fulfils none.
const (
	AtLeast  Comparison = iota + 1 // >= Value
	Below                          // < Value
	Contains                       // the text has Value in it, also in JSON as it was stored; ASCII letters in either case
	In                             // among what Of selects
)

// whereSQL is the condition of q, "" when all records are meant. Its arguments
// are appended to args.
func whereSQL(t *Table, q Query, args []any) (string, []any, error) {
	terms, args, err := equalSQL(t, q.Equal, args)
	if err != nil {
		return "", nil, err
	}
	for _, c := range q.Where {
		var term string
		if term, args, err = c.sql(t, args); err != nil {
			return "", nil, err
		}
		terms = append(terms, term)
	}
	if len(terms) == 0 {
		return "", args, nil
	}
	return " WHERE " + strings.Join(terms, " AND "), args, nil
}

func equalSQL(t *Table, equal map[string]any, args []any) (terms []string, _ []any, err error) {
	names, values, err := bind(t, equal)
	if err != nil {
		return nil, nil, err
	}
	for i, name := range names {
		if values[i] == nil {
			terms = append(terms, name+" IS NULL")
			continue
		}
		args = append(args, values[i])
		terms = append(terms, fmt.Sprintf("%s = $%d", name, len(args)))
	}
	return terms, args, nil
}

// likeEscapes are the characters that LIKE would read.
var likeEscapes = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func (c Condition) sql(t *Table, args []any) (string, []any, error) {
	column, ok := t.Column(c.Column)
	if !ok {
		return "", nil, fmt.Errorf("store: %s has no column %q", t.Name, c.Column)
	}
	switch c.Is {
	case In:
		where, args, err := whereSQL(c.Of.Table, Query{Equal: c.Of.Equal}, args)
		return fmt.Sprintf("%s IN (SELECT %s FROM %s%s)", c.Column, c.Of.Select, c.Of.Table.Name, where), args, err
	case Contains:
		text, _ := c.Value.(string)
		args = append(args, "%"+likeEscapes.Replace(text)+"%")
		return fmt.Sprintf(`LOWER(%s) LIKE LOWER($%d) ESCAPE '\'`, c.Column, len(args)), args, nil
	case AtLeast, Below:
		value, err := column.toSQL(c.Value)
		if err != nil {
			return "", nil, err
		}
		args = append(args, value)
		operator := ">="
		if c.Is == Below {
			operator = "<"
		}
		return fmt.Sprintf("%s %s $%d", c.Column, operator, len(args)), args, nil
	}
	return "", nil, fmt.Errorf("store: comparison %d of %s is none", c.Is, c.Column)
}

// backwards is an ORDER BY the other way round.
func backwards(order string) string {
	parts := strings.Split(order, ", ")
	for i, p := range parts {
		if column, descending := strings.CutSuffix(p, " DESC"); descending {
			parts[i] = column
		} else {
			parts[i] = p + " DESC"
		}
	}
	return strings.Join(parts, ", ")
}
