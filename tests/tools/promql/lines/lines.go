// Package lines is what both programs have in common: an expression a line in, what is found in it a line out.
package lines

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// Answer is a line of the output.
type Answer struct {
	// Why it is no PromQL; nothing else then.
	Error string `json:"error,omitempty"`
	// How many selectors it has.
	Selectors int `json:"selectors"`
	// How many of them lack one of the matchers that the arguments name (label=value).
	Without int `json:"without"`
	// The expression without one of each of these matchers in each selector, in one form for all ways of writing it.
	Rest string `json:"rest"`
}

// Each answers every line of the input, a JSON string with an expression.
func Each(read func(promql string, enforced []string) Answer) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var promql string
		if err := json.Unmarshal(lines.Bytes(), &promql); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
			os.Exit(1)
		}
		_ = out.Encode(read(promql, os.Args[1:]))
	}
}
