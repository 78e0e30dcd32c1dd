// Runs an Argo CD health check in the interpreter and with no more libraries than Argo CD has.
//
//	lua-health FOLDER                   the cases of FOLDER/health_test.yaml, in the form of Argo CD's own resource_customizations
//	lua-health FOLDER OBJECT.yaml…      prints OBJECT.yaml, health and message, one line each
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	lua "github.com/yuin/gopher-lua"
	"sigs.k8s.io/yaml"
)

// health is what a check returns.
type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// cases is a health_test.yaml.
type cases struct {
	Tests []struct {
		InputPath    string `json:"inputPath"`
		HealthStatus health `json:"healthStatus"`
	} `json:"tests"`
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: lua-health FOLDER [OBJECT.yaml…]")
		os.Exit(2)
	}
	run := runCases
	if len(os.Args) > 2 {
		run = printHealth
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "lua-health:", err)
		os.Exit(1)
	}
}

func printHealth(folder string, files []string) error {
	for _, file := range files {
		found, err := check(folder, file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fmt.Printf("%s\t%s\t%s\n", file, found.Status, found.Message)
	}
	return nil
}

func runCases(folder string, _ []string) error {
	text, err := os.ReadFile(filepath.Join(folder, "health_test.yaml"))
	if err != nil {
		return err
	}
	var all cases
	if err := yaml.UnmarshalStrict(text, &all); err != nil {
		return err
	}
	if len(all.Tests) == 0 {
		return errors.New("no cases")
	}
	for _, test := range all.Tests {
		found, err := check(folder, filepath.Join(folder, test.InputPath))
		if err != nil {
			return fmt.Errorf("%s: %w", test.InputPath, err)
		}
		if found != test.HealthStatus {
			return fmt.Errorf("%s: %+v instead of %+v", test.InputPath, found, test.HealthStatus)
		}
		fmt.Printf("ok: Argo CD says of %s: %s\n", test.InputPath, found.Status)
	}
	return nil
}

// check runs FOLDER/health.lua over the object in a file.
func check(folder, file string) (health, error) {
	script, err := os.ReadFile(filepath.Join(folder, "health.lua"))
	if err != nil {
		return health{}, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return health{}, err
	}
	var object any
	if err := yaml.Unmarshal(text, &object); err != nil {
		return health{}, err
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{
		{lua.LoadLibName, lua.OpenPackage},
		{lua.BaseLibName, lua.OpenBase},
		{lua.TabLibName, lua.OpenTable},
	} {
		open := lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}
		if err := state.CallByParam(open, lua.LString(library.name)); err != nil {
			return health{}, err
		}
	}
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(string(script)); err != nil {
		return health{}, err
	}
	result, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return health{}, fmt.Errorf("the check returned %s", state.Get(-1).Type())
	}
	return health{
		Status:  lua.LVAsString(result.RawGetString("status")),
		Message: lua.LVAsString(result.RawGetString("message")),
	}, nil
}

// value is JSON as Lua has it.
func value(state *lua.LState, json any) lua.LValue {
	switch json := json.(type) {
	case bool:
		return lua.LBool(json)
	case float64:
		return lua.LNumber(json)
	case string:
		return lua.LString(json)
	case []any:
		table := state.NewTable()
		for _, item := range json {
			table.Append(value(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for name, item := range json {
			table.RawSetString(name, value(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}
