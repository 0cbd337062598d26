package main

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// read returns the generic value of an HCL file: blocks as lists of maps, with a map from the label if there is one.
// References in strings stay as they are written, since the client interpolates them. Any other expression that needs
// evaluation is an error.
func read(text []byte) (any, error) {
	file, diagnostics := hclsyntax.ParseConfig(text, "file", hcl.InitialPos)
	if diagnostics.HasErrors() {
		return nil, diagnostics
	}
	reader := reader{text}
	return reader.body(file.Body.(*hclsyntax.Body))
}

type reader struct {
	text []byte
}

func (r reader) body(body *hclsyntax.Body) (map[string]any, error) {
	values := map[string]any{}
	for name, attribute := range body.Attributes {
		value, err := r.expression(attribute.Expr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		values[name] = value
	}
	for _, block := range body.Blocks {
		inner, err := r.body(block.Body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", block.Type, err)
		}
		for index := len(block.Labels) - 1; index >= 0; index-- {
			inner = map[string]any{block.Labels[index]: inner}
		}
		if _, both := body.Attributes[block.Type]; both {
			return nil, fmt.Errorf("%s is an attribute and a block", block.Type)
		}
		earlier, _ := values[block.Type].([]any)
		values[block.Type] = append(earlier, inner)
	}
	return values, nil
}

func (r reader) expression(expression hclsyntax.Expression) (any, error) {
	switch known := expression.(type) {
	case *hclsyntax.TemplateExpr:
		return r.template(known.Parts)
	case *hclsyntax.TemplateWrapExpr:
		return r.template([]hclsyntax.Expression{known.Wrapped})
	case *hclsyntax.TupleConsExpr:
		values := []any{}
		for _, item := range known.Exprs {
			value, err := r.expression(item)
			if err != nil {
				return nil, err
			}
			values = append(values, value)
		}
		return values, nil
	case *hclsyntax.ObjectConsExpr:
		values := map[string]any{}
		for _, item := range known.Items {
			key, diagnostics := item.KeyExpr.Value(nil)
			if diagnostics.HasErrors() {
				return nil, diagnostics
			}
			value, err := r.expression(item.ValueExpr)
			if err != nil {
				return nil, err
			}
			values[key.AsString()] = value
		}
		return values, nil
	case *hclsyntax.LiteralValueExpr, *hclsyntax.UnaryOpExpr:
		value, diagnostics := known.(hclsyntax.Expression).Value(nil)
		if diagnostics.HasErrors() {
			return nil, diagnostics
		}
		return ctyjson.SimpleJSONValue{Value: value}, nil
	}
	return nil, fmt.Errorf("%q is not supported here", r.source(expression))
}

func (r reader) template(parts []hclsyntax.Expression) (string, error) {
	var text strings.Builder
	for _, part := range parts {
		switch known := part.(type) {
		case *hclsyntax.LiteralValueExpr:
			if known.Val.Type() != cty.String {
				return "", fmt.Errorf("%q is not supported here", r.source(part))
			}
			text.WriteString(known.Val.AsString())
		case *hclsyntax.ScopeTraversalExpr:
			text.WriteString("${" + r.source(part) + "}")
		default:
			return "", fmt.Errorf("%q is not supported here", r.source(part))
		}
	}
	return text.String(), nil
}

func (r reader) source(expression hclsyntax.Expression) string {
	return string(expression.Range().SliceBytes(r.text))
}
