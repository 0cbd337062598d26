// Command hcl reads configurations as a Nomad agent does, with HashiCorp's own libraries.
//
// It is a long-lived child process of the conformance tests. Each request is a JSON object on stdin, and each answer one
// on stdout; it exits at the end of stdin. A request has either Text, which is HCL to be read, or Spec and Config, a
// configuration to be decoded with the schema that a plugin declares.
//
// It is built with Debian's golang-github-hashicorp-hcl-v2-dev and golang-github-zclconf-go-cty-dev, without a Go module:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/hcl/v2"
)

type request struct {
	// Text is HCL in its native syntax.
	Text *string
	// Spec is the schema, an hclspec.Spec as JSON.
	Spec *spec
	// Config are the generic values of a config block.
	Config map[string]any
	// Variables are those that strings in Config may refer to.
	Variables map[string]string
}

type answer struct {
	// Value is the value of Text.
	Value any
	// Packed is Config as the MessagePack that the plugin gets.
	Packed []byte
	// Errors are the messages that the agent shows.
	Errors []string
}

func main() {
	requests := json.NewDecoder(os.Stdin)
	// Numbers keep all their digits.
	requests.UseNumber()
	answers := json.NewEncoder(os.Stdout)
	for {
		var asked request
		err := requests.Decode(&asked)
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = answers.Encode(asked.answer())
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "hcl: cannot go on: %v\n", err)
			os.Exit(1)
		}
	}
}

func (r *request) answer() (a answer) {
	var err error
	switch {
	case r.Text != nil:
		a.Value, err = read([]byte(*r.Text))
	case r.Spec != nil:
		a.Packed, err = decode(r.Spec, r.Config, r.Variables)
	default:
		err = errors.New("the request has neither Text nor Spec")
	}
	if err != nil {
		a.Errors = sentences(err)
	}
	return a
}

// sentences returns the parts of an error in the agent's form.
func sentences(err error) []string {
	var diagnostics hcl.Diagnostics
	if !errors.As(err, &diagnostics) {
		return []string{err.Error()}
	}
	var texts []string
	for _, diagnostic := range diagnostics {
		summary := diagnostic.Summary
		if summary == "Extraneous JSON object property" {
			summary = "Invalid label"
		}
		texts = append(texts, summary+": "+diagnostic.Detail)
	}
	return texts
}
