// Reads files as Docker does: `readers compose FILE` prints what Docker Compose makes of one,
// `readers dockerfile FILE` says what BuildKit finds wrong with one.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func main() {
	read := map[string]func(string) error{"compose": compose, "dockerfile": dockerfile}
	if err := read[os.Args[1]](os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func compose(path string) error {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithOsEnv)
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	text, err := project.MarshalJSON()
	fmt.Println(string(text))
	return err
}

func dockerfile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	read, err := parser.Parse(file)
	if err != nil {
		return err
	}
	var found error
	warn := func(rule, description, _, message string, _ []parser.Range) {
		found = fmt.Errorf("%s: %s (%s)", rule, message, description)
	}
	_, _, err = instructions.Parse(read.AST, linter.New(&linter.Config{Warn: warn}))
	if err != nil {
		return err
	}
	return found
}
