package api

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/epic-swf/testbed/web"
)

// object is a JSON object as it came.
type object = map[string]json.RawMessage

// readBody reads the request's JSON, nil where there is no body at all.
// web.LimitBody has bounded and read it already.
func readBody(r *http.Request) (json.RawMessage, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, badRequest(map[string]string{"detail": "The request body did not arrive whole."})
	}
	if len(body) == 0 {
		return nil, nil
	}
	given := r.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(given)
	if err != nil || (media != "application/json" && !strings.HasSuffix(media, "+json")) {
		return nil, detail(http.StatusUnsupportedMediaType,
			fmt.Sprintf("Unsupported media type %q in request.", given))
	}
	if err := web.CheckJSON(body, maxJSONDepth); err != nil {
		return nil, badRequest(map[string]string{"detail": "JSON parse error - " + err.Error()})
	}
	return body, nil
}

// readObject reads the request's JSON object. No body at all is an empty
// object, as the allocators' clients send none.
func readObject(r *http.Request) (object, error) {
	body, err := readBody(r)
	if err != nil || body == nil {
		return object{}, err
	}
	return asObject(body)
}

func asObject(body json.RawMessage) (object, error) {
	var o object
	if err := json.Unmarshal(body, &o); err != nil || o == nil {
		return nil, badRequest(fieldErrors{"non_field_errors": {
			"Invalid data. Expected a dictionary, but got " + typeName(body) + "."}})
	}
	return o, nil
}

// typeName is the word of the contract's texts for the type of a JSON value.
func typeName(raw []byte) string {
	switch strings.TrimSpace(string(raw))[0] {
	case '{':
		return "dict"
	case '[':
		return "list"
	case '"':
		return "str"
	case 't', 'f':
		return "bool"
	case 'n':
		return "NoneType"
	}
	if strings.ContainsAny(string(raw), ".eE") {
		return "float"
	}
	return "int"
}
