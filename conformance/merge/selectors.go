package merge

import (
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

var pieces = []string{
	"a", "b", "tier", "example.com/x", "in", "notin", "1", "5", "x.y", "-", "A_b", "a//b", "é",
	"=", "==", "!=", "!", ">", "<", "(", ")", ",", ",", "=", "=", " ", " ", "  ", "\t", "=!", "\\", "\\,", "\\=",
}

// selectorText is mostly nonsense, with some sense in it.
func (g *generator) selectorText() string {
	text := ""
	if g.chance(50) {
		for range 1 + g.Intn(3) {
			if text != "" {
				text += ","
			}
			key := pick(g, []string{"a", "b", "tier", "example.com/x", "in"})
			text += pick(g, []string{
				key, "!" + key, key + "=b", key + " == 5", key + "!=b", key + ">4", key + " < 9",
				key + " in (a, b)", key + " notin (a,b)", key + " in ()", key + " in (,b)", key + "=", key + " in (5,)",
			})
		}
		if g.chance(70) {
			return text
		}
	}
	for range 1 + g.Intn(7) {
		text += pick(g, pieces)
	}
	return text
}

func (g *generator) labelSelector() vector {
	set := labels.Set{}
	for range g.Intn(4) {
		set[pick(g, []string{"a", "b", "tier", "example.com/x", "in"})] = pick(g, []string{"a", "b", "5", "", "7"})
	}
	v := vector{Op: "labels", Live: set, Input: g.selectorText()}
	selector, err := labels.Parse(v.Input.(string))
	if err != nil {
		v.Error = err.Error()
		return v
	}
	v.Want = selector.Matches(set)
	return v
}

func (g *generator) fieldSelector() vector {
	set := fields.Set{"metadata.name": pick(g, []string{"a", "b", ""}), "spec.nodeName": pick(g, []string{"5", "b", ""})}
	v := vector{Op: "fields", Live: set, Input: g.selectorText()}
	if g.chance(60) {
		v.Input = pick(g, []string{"metadata.name", "spec.nodeName"}) + pick(g, []string{"=", "==", "!=", ""}) + pick(g, pieces) +
			pick(g, []string{"", ",", ",spec.nodeName=b", ",metadata.name!=5"})
	}
	selector, err := fields.ParseSelector(v.Input.(string))
	if err != nil {
		v.Error = err.Error()
		return v
	}
	v.Want = selector.Matches(set)
	return v
}
