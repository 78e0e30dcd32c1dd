// Reads PromQL as Prometheus does; see package lines.
package main

import (
	"slices"
	"strings"

	"prometheus-mirror.test/tools/promql/lines"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

func main() { lines.Each(read) }

func read(promql string, enforced []string) (found lines.Answer) {
	expr, err := parser.ParseExpr(promql)
	if err != nil {
		return lines.Answer{Error: err.Error()}
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
