package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/epic-swf/testbed/swf"
)

// RunnerProgram is the program that executes workflows. It is started with
// every testbed, before its agents.
const RunnerProgram = "workflow-runner"

// agentPrograms maps the agents' names in a configuration to the programs of
// agents.supervisord.conf, contract 5.2.
var agentPrograms = map[string]string{
	"data":            "example-data-agent",
	"processing":      "example-processing-agent",
	"fastmon":         "example-fastmon-agent",
	"fast_processing": "fast-processing-agent",
	"worker":          "example-worker",
	"stf-data":        "stf-data-agent",
	"stf-processing":  "stf-processing-agent",
}

// Agent is one [agents.NAME] of a testbed. Script is kept for the Python
// tools that wrote it and is never executed; Program is what supervisord
// runs.
type Agent struct {
	Name    string
	Program string
	Enabled bool
	Script  string
}

// readAgents reads the agents of a document in file order.
func readAgents(d *document) ([]Agent, error) {
	var agents []Agent
	for _, name := range d.order[secAgents] {
		table, ok := d.tables[secAgents][name].(map[string]any)
		if !ok {
			return nil, d.fail([]string{secAgents, name},
				fmt.Sprintf("[agents] %s is %s, not a section", short(name), typeName(d.tables[secAgents][name])),
				"write [agents.NAME] with enabled = true below it")
		}
		a, err := readAgent(d, name, table)
		if err != nil {
			return nil, err
		}
		for _, other := range agents {
			if other.Program == a.Program {
				return nil, d.fail([]string{secAgents, name},
					fmt.Sprintf("[agents.%s] and [agents.%s] both are the program %s", other.Name, a.Name, a.Program),
					"give each agent a program of its own")
			}
		}
		agents = append(agents, a)
	}
	return agents, nil
}

func readAgent(d *document, name string, table map[string]any) (Agent, error) {
	a := Agent{Name: name, Program: agentPrograms[name]}
	for _, key := range sortedKeys(table) {
		at := []string{secAgents, name, key}
		if !slices.Contains(agentKeys, key) {
			return a, d.unknownKey(at, "[agents."+short(name)+"]", agentKeys)
		}
		if key == "enabled" {
			on, ok := table[key].(bool)
			if !ok {
				return a, d.wrongType(at, "true or false", table[key])
			}
			a.Enabled = on
			continue
		}
		text, ok := table[key].(string)
		if !ok {
			return a, d.wrongType(at, "a text in quotes", table[key])
		}
		if key == "script" {
			if len(text) > 4096 || strings.ContainsAny(text, "\x00\r\n") {
				return a, d.fail(at, fmt.Sprintf("[agents.%s] script is no path", short(name)), "write the path of the script, or leave it out: it is not used")
			}
			a.Script = text
			continue
		}
		if err := checkProgram(d, at, text); err != nil {
			return a, err
		}
		a.Program = text
	}
	return a, checkAgent(d, a)
}

func checkProgram(d *document, at []string, program string) error {
	if swf.CheckName(swf.KindProgram, program) != nil || program == "all" {
		return d.fail(at, fmt.Sprintf("[agents.%s] program %q is no name of a program", short(at[1]), short(program)),
			"write a program's name as agents.supervisord.conf has it")
	}
	if program == RunnerProgram {
		return d.fail(at, fmt.Sprintf("[agents.%s] program is the workflow runner, which is no agent", short(at[1])),
			"remove it; the runner is always started")
	}
	return nil
}

func checkAgent(d *document, a Agent) error {
	known := sortedKeys(agentPrograms)
	if a.Program == "" {
		return swf.E(swf.CodeUnknownAgent, fmt.Sprintf("%s: unknown agent %q", d.place([]string{secAgents, a.Name}), short(a.Name)),
			suggest(a.Name, `name it by program = "…", or use one of`, known))
	}
	if swf.CheckName(swf.KindProgram, a.Name) != nil {
		return d.fail([]string{secAgents, a.Name}, fmt.Sprintf("%q is no name of an agent", short(a.Name)),
			"an agent's name is made of letters, digits, _ . and -")
	}
	return nil
}
