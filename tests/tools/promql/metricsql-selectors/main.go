// The same as prometheus-selectors, for PromQL as VictoriaMetrics reads it. Each alternative of a selector counts as one.
package main

import (
	"slices"
	"strings"

	"prometheus-mirror.test/tools/promql/lines"

	"github.com/VictoriaMetrics/metricsql"
)

func main() { lines.Each(read) }

func read(promql string, enforced []string) (found lines.Answer) {
	expr, err := metricsql.Parse(promql)
	if err != nil {
		return lines.Answer{Error: err.Error()}
	}
	metricsql.VisitAll(expr, func(expr metricsql.Expr) {
		if number, ok := expr.(*metricsql.NumberExpr); ok {
			// Without the text that it was written as.
			*number = metricsql.NumberExpr{N: number.N}
		}
		selector, ok := expr.(*metricsql.MetricExpr)
		if !ok {
			return
		}
		// A selector without any filter is one, too.
		found.Selectors += max(1, len(selector.LabelFilterss))
		if len(selector.LabelFilterss) == 0 {
			found.Without++
		}
		for i := range selector.LabelFilterss {
			filters, all := take(selector.LabelFilterss[i], enforced)
			if !all {
				found.Without++
			}
			slices.SortFunc(filters, func(a, b metricsql.LabelFilter) int {
				return strings.Compare(string(a.AppendString(nil)), string(b.AppendString(nil)))
			})
			selector.LabelFilterss[i] = filters
		}
	})
	found.Rest = string(expr.AppendString(nil))
	return found
}

// The filters without one of each of the matchers; false if one isn't there.
func take(filters []metricsql.LabelFilter, enforced []string) ([]metricsql.LabelFilter, bool) {
	all := true
	filters = slices.Clone(filters)
	for _, pair := range enforced {
		name, value, _ := strings.Cut(pair, "=")
		at := slices.IndexFunc(filters, func(f metricsql.LabelFilter) bool {
			return !f.IsNegative && !f.IsRegexp && f.Label == name && f.Value == value
		})
		if at < 0 {
			all = false
			continue
		}
		filters = slices.Delete(filters, at, at+1)
	}
	return filters, all
}
