package main

import (
	"encoding/json"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcldec"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/msgpack"
)

// decode converts a config block to MessagePack as the agent does: it encodes the block as JSON, parses that with HCL's
// JSON syntax, and decodes it with the plugin's schema.
func decode(spec *spec, config map[string]any, variables map[string]string) ([]byte, error) {
	schema, err := spec.decoder()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(listed(config))
	if err != nil {
		return nil, err
	}
	file, diagnostics := hcljson.Parse(text, "config")
	if diagnostics.HasErrors() {
		return nil, diagnostics
	}
	context := &hcl.EvalContext{Variables: map[string]cty.Value{}}
	for name, value := range variables {
		context.Variables[name] = cty.StringVal(value)
	}
	value, diagnostics := hcldec.Decode(file.Body, schema, context)
	if diagnostics.HasErrors() {
		return nil, diagnostics
	}
	return msgpack.Marshal(value, value.Type())
}

// listed returns the values with each map wrapped in a list, as a job's values are when they reach the client: there, a map
// attribute and a block look the same.
func listed(values map[string]any) map[string]any {
	result := map[string]any{}
	for name, value := range values {
		switch known := value.(type) {
		case map[string]any:
			result[name] = []any{listed(known)}
		case []any:
			items := []any{}
			for _, item := range known {
				if inner, isMap := item.(map[string]any); isMap {
					item = listed(inner)
				}
				items = append(items, item)
			}
			result[name] = items
		default:
			result[name] = value
		}
	}
	return result
}
