// Reads PromQL as Prometheus does. Each line of the input is a JSON string with an expression, each line of the output a JSON object:
//
//	error      why it is no PromQL; nothing else then
//	selectors  how many selectors it has
//	without    how many of them lack one of the matchers that the arguments name (label=value)
//	rest       the expression without one of each of these matchers in each selector, in one form for all ways of writing it
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

type answer struct {
	Error     string `json:"error,omitempty"`
	Selectors int    `json:"selectors"`
	Without   int    `json:"without"`
	Rest      string `json:"rest"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var promql string
		if err := json.Unmarshal(lines.Bytes(), &promql); err != nil {
			fmt.Fprintf(os.Stderr, "prometheus-selectors: %v\n", err)
			os.Exit(1)
		}
		_ = out.Encode(read(promql, os.Args[1:]))
	}
}

func read(promql string, enforced []string) (found answer) {
	expr, err := parser.ParseExpr(promql)
	if err != nil {
		return answer{Error: err.Error()}
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch node := node.(type) {
		case *parser.VectorSelector:
			found.Selectors++
			if !take(node, enforced) {
				found.Without++
			}
			// The name is among the matchers, wherever it was written.
			node.Name = ""
			slices.SortFunc(node.LabelMatchers, func(a, b *labels.Matcher) int {
				return strings.Compare(a.String(), b.String())
			})
		case *parser.NumberLiteral:
			node.Duration = false
		}
		return nil
	})
	found.Rest = expr.String()
	return found
}

// Takes one of each of the matchers out; false if one isn't there.
func take(selector *parser.VectorSelector, enforced []string) bool {
	all := true
	for _, pair := range enforced {
		name, value, _ := strings.Cut(pair, "=")
		at := slices.IndexFunc(selector.LabelMatchers, func(m *labels.Matcher) bool {
			return m.Type == labels.MatchEqual && m.Name == name && m.Value == value
		})
		if at < 0 {
			all = false
			continue
		}
		selector.LabelMatchers = slices.Delete(selector.LabelMatchers, at, at+1)
	}
	return all
}
