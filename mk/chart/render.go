// SPDX-License-Identifier: Apache-2.0

// usage: render [-n NAMESPACE] [-f VALUES]... CHART: what `helm template` prints of a chart, with Debian's packages alone: Debian has no
// helm, but all that helm renders with, Go's text/template, sprig and sigs.k8s.io/yaml. Beside them helm has few functions of its own
// (engine/funcs.go); those of them that exist here are below, the others make a chart fail. Values are merged as helm merges them: maps key by key, all else is
// replaced, null removes. The schema is not looked at (tests/deploy does, with python3-jsonschema).
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

// helm's order of kinds (pkg/releaseutil/kind_sorter.go), of those that the chart has: what others refer to comes first
var kinds = []string{"ServiceAccount", "ConfigMap", "ClusterRole", "ClusterRoleBinding", "DaemonSet"}

type object = map[string]interface{}

type files []string

func (f *files) String() string     { return strings.Join(*f, ",") }
func (f *files) Set(s string) error { *f = append(*f, s); return nil }

func read(path string) (object, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	o := object{}
	if err := yaml.UnmarshalStrict(text, &o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

func merge(into, from object) {
	for key, value := range from {
		old, oldIsMap := into[key].(object)
		new, newIsMap := value.(object)
		switch {
		case value == nil:
			delete(into, key)
		case oldIsMap && newIsMap:
			merge(old, new)
		default:
			into[key] = value
		}
	}
}

func toYaml(v interface{}) (string, error) {
	text, err := yaml.Marshal(v)
	return strings.TrimSuffix(string(text), "\n"), err
}

func render(chart, namespace string, overrides []string) error {
	about, err := read(filepath.Join(chart, "Chart.yaml"))
	if err != nil {
		return err
	}
	values, err := read(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return err
	}
	for _, path := range overrides {
		more, err := read(path)
		if err != nil {
			return err
		}
		merge(values, more)
	}
	// .Chart is a struct in helm, whose fields begin with capitals
	named := object{}
	for key, value := range about {
		named[strings.ToUpper(key[:1])+key[1:]] = value
	}
	top := object{
		"Values":  values,
		"Chart":   named,
		"Release": object{"Name": about["name"], "Namespace": namespace, "Service": "Helm", "IsInstall": true, "Revision": 1},
	}

	all := template.New("chart").Option("missingkey=zero")
	functions := sprig.TxtFuncMap()
	delete(functions, "env") // as helm does
	delete(functions, "expandenv")
	functions["toYaml"] = toYaml
	functions["fromYaml"] = func(text string) (object, error) {
		o := object{}
		return o, yaml.Unmarshal([]byte(text), &o)
	}
	functions["include"] = func(name string, data interface{}) (string, error) {
		var out bytes.Buffer
		err := all.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	functions["required"] = func(why string, v interface{}) (interface{}, error) {
		if v == nil || v == "" {
			return v, errors.New(why)
		}
		return v, nil
	}
	all.Funcs(functions)

	paths, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	if err != nil {
		return err
	}
	sort.Strings(paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if _, err := all.New(filepath.Base(path)).Parse(string(text)); err != nil {
			return err
		}
	}
	made := map[string]string{}
	for _, path := range paths {
		if filepath.Ext(path) != ".yaml" {
			continue
		}
		var out bytes.Buffer
		if err := all.ExecuteTemplate(&out, filepath.Base(path), top); err != nil {
			return err
		}
		// helm leaves this word where a value is missing, and so would we
		text := strings.TrimSpace(strings.ReplaceAll(out.String(), "<no value>", ""))
		for _, one := range strings.Split(text, "\n---\n") {
			if one == "" {
				continue
			}
			what := object{}
			if err := yaml.UnmarshalStrict([]byte(one), &what); err != nil {
				return fmt.Errorf("%s: %w in:\n%s", path, err, one)
			}
			made[fmt.Sprint(what["kind"])] += "---\n" + one + "\n"
		}
	}
	for _, kind := range kinds {
		fmt.Print(made[kind])
		delete(made, kind)
	}
	for kind := range made {
		return fmt.Errorf("kind %s has no place in the order (render.go)", kind)
	}
	return nil
}

func main() {
	var overrides files
	namespace := flag.String("n", "kube-system", "namespace of the release")
	flag.Var(&overrides, "f", "values that go before the chart's")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: render [-n NAMESPACE] [-f VALUES]... CHART")
		os.Exit(2)
	}
	if err := render(flag.Arg(0), *namespace, overrides); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}
