package main

import (
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A spec is the part of hclspec.Spec that this driver uses. Exactly one of the fields is set.
type spec struct {
	Object *struct {
		Attributes map[string]*spec
	}
	Attr       *attribute
	BlockAttrs *attribute `json:"block_attrs"`
	Default    *struct {
		Primary, Default *spec
	}
	Literal *struct {
		Value string
	}
}

type attribute struct {
	Name, Type string
	Required   bool
}

// decoder returns the spec in the form of HashiCorp's hcl library.
func (s *spec) decoder() (hcldec.Spec, error) {
	switch {
	case s == nil:
		return nil, errors.New("the schema lacks a part")
	case s.Object != nil:
		object := hcldec.ObjectSpec{}
		for name, part := range s.Object.Attributes {
			decoder, err := part.decoder()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			object[name] = decoder
		}
		return object, nil
	case s.Attr != nil:
		expression, err := parsed(s.Attr.Type)
		if err != nil {
			return nil, err
		}
		kind, diagnostics := typeexpr.TypeConstraint(expression)
		if diagnostics.HasErrors() {
			return nil, diagnostics
		}
		return &hcldec.AttrSpec{Name: s.Attr.Name, Type: kind, Required: s.Attr.Required}, nil
	case s.BlockAttrs != nil:
		expression, err := parsed(s.BlockAttrs.Type)
		if err != nil {
			return nil, err
		}
		kind, diagnostics := typeexpr.TypeConstraint(expression)
		if diagnostics.HasErrors() {
			return nil, diagnostics
		}
		return &hcldec.BlockAttrsSpec{
			TypeName: s.BlockAttrs.Name, ElementType: kind, Required: s.BlockAttrs.Required}, nil
	case s.Default != nil:
		primary, err := s.Default.Primary.decoder()
		if err != nil {
			return nil, err
		}
		otherwise, err := s.Default.Default.decoder()
		if err != nil {
			return nil, err
		}
		return &hcldec.DefaultSpec{Primary: primary, Default: otherwise}, nil
	case s.Literal != nil:
		expression, err := parsed(s.Literal.Value)
		if err != nil {
			return nil, err
		}
		value, diagnostics := expression.Value(nil)
		if diagnostics.HasErrors() {
			return nil, diagnostics
		}
		return &hcldec.LiteralSpec{Value: value}, nil
	}
	return nil, errors.New("the schema has a part that is not known here")
}

func parsed(text string) (hclsyntax.Expression, error) {
	expression, diagnostics := hclsyntax.ParseExpression([]byte(text), "schema", hcl.InitialPos)
	if diagnostics.HasErrors() {
		return nil, diagnostics
	}
	return expression, nil
}
