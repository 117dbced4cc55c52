using System.CommandLine;
using Dst.Cli.Output;

namespace Dst.Cli.Commands;

/// <summary><c>completion</c>: prints the script that teaches a shell to complete our lines.</summary>
internal static class CompletionCommand
{
    // Each script hands the line up to the cursor to the [suggest] directive, its first word replaced by the
    // plain name, which the directive expects; where nothing is suggested the shell completes file names.
    private const string Bash = """
        # dstctl completion for bash: source <(dstctl completion bash)
        _dstctl()
        {
            local typed=${COMP_LINE:0:COMP_POINT} word=${COMP_WORDS[COMP_CWORD]} line candidates
            line="dstctl${typed#"${COMP_WORDS[0]}"}"
            candidates=$("$1" "[suggest:${#line}]" "$line" 2>/dev/null) || return 0
            COMPREPLY=($(compgen -W "$candidates" -- "$word"))
            if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *: ]]; then
                compopt -o nospace
            fi
        }
        complete -o bashdefault -o default -F _dstctl dstctl

        """;

    private const string Zsh = """
        #compdef dstctl
        # dstctl completion for zsh: source <(dstctl completion zsh)
        _dstctl()
        {
            local line="dstctl ${(j: :)words[2,CURRENT]}"
            local -a candidates
            candidates=(${(f)"$($words[1] "[suggest:${#line}]" "$line" 2>/dev/null)"})
            if (( $#candidates )); then
                compadd -a candidates
            else
                _files
            fi
        }
        if [[ ${funcstack[1]} == _dstctl ]]; then
            _dstctl "$@"
        else
            compdef _dstctl dstctl
        fi

        """;

    private const string Fish = """
        # dstctl completion for fish: dstctl completion fish | source
        function __dstctl_complete
            set -l words (commandline -opc)
            set -l line (string join ' ' -- dstctl $words[2..-1] (commandline -ct | string collect -a))
            dstctl "[suggest:"(string length -- "$line")"]" "$line" 2>/dev/null
        end
        complete -c dstctl -a '(__dstctl_complete)'

        """;

    /// <summary>Makes the verb.</summary>
    public static Command Create(CliHost host)
    {
        var command = new Verb(
            "completion",
            "Print a script that completes verbs, options and names of devices in a shell.",
            "source <(dstctl completion bash)",
            "source <(dstctl completion zsh)",
            "dstctl completion fish | source",
            "dstctl completion bash > /etc/bash_completion.d/dstctl");
        var shell = new Argument<string>("SHELL") { Description = "bash, zsh or fish.", HelpName = "bash|zsh|fish" };
        string[] shells = ["bash", "zsh", "fish"];
        shell.CompletionSources.Add(shells);
        shell.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && !shells.Contains(result.Tokens[0].Value, StringComparer.Ordinal))
            {
                result.AddError($"completion: '{result.Tokens[0].Value}' is not one of {string.Join(", ", shells)}");
            }
        });
        command.Add(shell);
        command.SetAction(parsed =>
        {
            host.Output.Write(parsed.GetRequiredValue(shell) switch
            {
                "zsh" => Zsh,
                "fish" => Fish,
                _ => Bash,
            });
            return 0;
        });
        return command;
    }
}
