// Prints what Flux, and `helm --wait`, make of the state of an object: `kstatus FILE…` prints FILE, status and message, one line each.
package main

import (
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: kstatus FILE…")
		os.Exit(2)
	}
	for _, file := range os.Args[1:] {
		if err := print(file); err != nil {
			fmt.Fprintf(os.Stderr, "kstatus: %s: %v\n", file, err)
			os.Exit(1)
		}
	}
}

func print(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	json, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	// Tells whole numbers from others, which the library asks for.
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(json); err != nil {
		return err
	}
	result, err := status.Compute(object)
	if err != nil {
		return err
	}
	fmt.Printf("%s\t%s\t%s\n", file, result.Status, result.Message)
	return nil
}
