# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_keyctl_global_optspecs
    string join \n workspace= output= correlation-id= actor= identity= because= ticket= yes dry-run q/quiet v/verbose h/help V/version
end

function __fish_keyctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_keyctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_keyctl_using_subcommand
    set -l cmd (__fish_keyctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c keyctl -n "__fish_keyctl_needs_command" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_needs_command" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_needs_command" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_needs_command" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_needs_command" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_needs_command" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_needs_command" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_needs_command" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_needs_command" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_needs_command" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_needs_command" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_needs_command" -s V -l version -d 'Print version'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "init" -d 'Found a workspace'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "trust" -d 'Trust a workspace from now on'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "status" -d 'Show keys, ages, gates, and what is open'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "doctor" -d 'Examine tokens, PIN flags, mechanisms, clock and settings'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "keygen" -d 'Make the next generation of a key'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "import" -d 'Take in a certificate that an external issuer made'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "destroy" -d 'Destroy the private key of a generation that serves no more'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "revoke" -d 'Revoke a generation of a key'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "compromise" -d 'Do everything that a key compromise asks for, step by step'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "crl" -d 'Issue revocation lists anew'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "rotate" -d 'Replace a key by its next generation'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "due" -d 'Do what is due, and say what waits for people'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "adopt" -d 'Adopt the changes of keyctl.toml that bear on security, changed tokens, and a changed roster.toml'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "grant" -d 'Give a standing approval for one key\'s rotations, or end it'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "follow-up" -d 'Show duties that have a deadline, or close one with evidence'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "suspend" -d 'Stop a key at once from signing and issuing, or let it go on'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "set-time" -d 'Set the ledger\'s time back to the clock\'s, after an entry under a clock that was ahead'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "roster" -d 'Show the roster in force, suspend a person, or restore one'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "approve" -d 'Approve what somebody else asks for, with your own SSH key'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "cab" -d 'Draft an approval of files by the change advisory board'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "run" -d 'Do exactly what was approved, once'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "sign" -d 'Sign files'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "verify" -d 'Check signed files and evidence fragments'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "audit" -d 'Check the ledger against what is known outside of it'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "recover" -d 'Settle what an interruption left'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "completions" -d 'Print completions for a shell'
complete -c keyctl -n "__fish_keyctl_needs_command" -f -a "man" -d 'Print the man page of keyctl or of one of its commands'
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l from -d 'Found a workspace with this keyctl.toml (and the roster.toml beside it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l roster -d 'Its people' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l earlier -d 'The workspace that had the tokens before, and whose people agree that this one takes them over' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l sandbox -d 'Make a sandbox: software tokens, P-256 keys, no network'
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -l genesis -d 'Its genesis, as you heard it from elsewhere' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -l moved -d 'It was moved here, and is used nowhere else'
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand trust" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l check -d 'Exit 4 if this key may not sign now' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l csr -d 'Write a certificate signing request (PEM) for the key\'s external issuer' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l break-glass -d 'Break the glass: a security reviewer and a platform admin together, at most 4 hours, with duties afterwards' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l justification -d 'Why the ordinary way is too slow' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand keygen" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l roots -d 'Trusted root certificates (PEM)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l chain -d 'Further intermediates (PEM)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l publisher-change -d 'Another subject than the predecessor\'s is wanted: Windows will see another publisher'
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand destroy" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand destroy" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand destroy" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand destroy" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand destroy" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand destroy" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand destroy" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand destroy" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand destroy" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand destroy" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand destroy" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand destroy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l reason -d 'Why (RFC 5280 §5.3.1)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l compromised-since -d 'Since when others may have had the key (RFC 3339); only for compromises' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l reference -d 'How the external issuer was told, such as a ticket; only for its certificates' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l certificate -d 'The revocation certificate that was put aside for an OpenPGP primary key; its private key is not needed then' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l break-glass -d 'Break the glass: a security reviewer and a platform admin together, at most 4 hours, with duties afterwards' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l justification -d 'Why the ordinary way is too slow' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l no-fetch -d 'Do not look for the list at the URL that its certificates name'
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -l incident -d 'The declared incident' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -l since -d 'Since when others may have had it, RFC 3339 (default: everything it signed is in doubt)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -l reference -d 'How the external issuer was told, such as a ticket (default: the incident)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand compromise" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -l now -d 'Also lists that are not due yet'
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -l no-fetch -d 'Do not look for the list at the URL that its certificates name'
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand crl" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l review -d 'What a review of a CA\'s key said, where the settings ask for one' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l keep-until -d 'The review lets the key go on until this day (date or RFC 3339 time)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l csr -d 'Where the certificate signing request goes (PEM) if the issuer is external (default: requests/KEY-N.csr)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l break-glass -d 'Break the glass: a security reviewer and a platform admin together, at most 4 hours, with duties afterwards' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l justification -d 'Why the ordinary way is too slow' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l now -d 'Begin although it is not due'
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l publisher-change -d 'Another subject than the predecessor\'s is wanted: Windows will see another publisher'
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand rotate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand due" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand due" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand due" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand due" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand due" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand due" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand due" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand due" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand due" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand due" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand due" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand due" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l roster -d 'Only the roster'
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l settings -d 'Only the settings and tokens'
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand adopt" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l generations -d 'How many generations may be made' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l interval -d 'The least number of days between two of them (default: the key\'s interval less its lead)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l until -d 'Until when, RFC 3339 (default: when the last of the generations is due)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l end -d 'End this grant at once; one proven person is enough' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l list -d 'Show the key\'s grants and what is left of them'
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand grant" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand follow-up" -l evidence -d 'The file that shows that it was done' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand follow-up" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand follow-up" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand follow-up" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand follow-up" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand follow-up" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand follow-up" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand follow-up" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand follow-up" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand follow-up" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand follow-up" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand follow-up" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand follow-up" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand suspend" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand suspend" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand suspend" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand suspend" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand suspend" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand suspend" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand suspend" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand suspend" -l lift -d 'End the suspension'
complete -c keyctl -n "__fish_keyctl_using_subcommand suspend" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand suspend" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand suspend" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand suspend" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand suspend" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand set-time" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand set-time" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand set-time" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand set-time" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand set-time" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand set-time" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand set-time" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand set-time" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand set-time" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand set-time" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand set-time" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand set-time" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -f -a "show" -d 'Print the roster in force as a roster.toml'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -f -a "suspend" -d 'Let a person\'s signatures count for nothing, at once'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and not __fish_seen_subcommand_from show suspend restore" -f -a "restore" -d 'Let them count again; takes the quorum'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from show" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from show" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from show" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from show" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from show" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from show" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from show" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from show" -l allowed-signers -d 'As a file of allowed signers for ssh-keygen -Y verify'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from show" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from show" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from show" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from suspend" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from suspend" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from suspend" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from suspend" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from suspend" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from suspend" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from suspend" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from suspend" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from suspend" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from suspend" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from suspend" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from suspend" -s h -l help -d 'Print help'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from restore" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from restore" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from restore" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from restore" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from restore" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from restore" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from restore" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from restore" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from restore" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from restore" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from restore" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand roster; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help'
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l to -d 'Write the signature to this new file' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l expect -d 'The SHA-256 that the request must have; needed with --yes' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l genesis -d 'The genesis hash that the workspace must have; needed with --yes if it is new to this machine' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l prove-from -d 'With --pack: prove that the ledger continues its first SIZE entries, which an approver saw' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l pack -d 'Sign nothing: print the request, its requester\'s signature and its proofs as one block of text'
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand approve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l files-from -d 'Further files, one a line or NUL-separated; - reads standard input' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l to -d 'Write the draft to this new file' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l id -d 'The board\'s name for it (default: cab-DATE and eight digits)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l approver -d 'Who will sign it (default: the only cab-approver in the roster)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l from -d 'From when on it holds, RFC 3339 (default: now)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l until -d 'Until when, RFC 3339 (default: seven days from then)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l count -d 'For how many signatures (default: one for each file)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l condition -d 'A condition that has to be acknowledged; may be repeated' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l withdraw -d 'Draft the withdrawal of this approval' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l record -d 'Hand in an approval or a withdrawal that is signed, without signing files' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand cab" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -l approval -d 'A file with approvals as they were pasted (- for standard input); may be repeated' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -l wait -d 'Wait this long for approvals to arrive in requests/ (30s, 30m, 4h)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l files-from -d 'Further files, one a line or NUL-separated; - reads standard input' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l key -d 'The key to sign with' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l to -d 'Write here and leave the file as it is; a folder when there are several files' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l hash -d 'Digest algorithm: sha256, sha384 or sha512' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l program-name -d 'Program name that Windows shows' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l program-url -d 'Program URL that Windows shows' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l for-pack -d 'Evidence pack whose artifact this is; a pack is required in production' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l for-packs -d 'Folder of evidence packs (*.json), one for each file, found by the artifact\'s hash' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l cab -d 'Approval of the change advisory board, with its signature in FILE.sig or in the file' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l cab-id -d 'Which approval, where an unsigned FILE has several' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l acknowledge -d 'A condition of the approval, word for word; may be repeated' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l builder -d 'Provenance: who built the files (default: from the CI environment)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l pipeline-run -d 'Provenance: the pipeline run' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l source-repo -d 'Provenance: the source repository' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l source-commit -d 'Provenance: the source commit' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l timestamp -d 'Ask these timestamp authorities, in this order, instead of the configured ones' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l timestamp-roots -d 'Trusted root certificates of timestamp authorities (PEM), instead of the configured ones; refused in production' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l jobs -d 'How many files at the same time' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l append -d 'Nest the signature into the one that is there'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l replace -d 'Take out the signatures that are there'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l re-sign -d 'Take out the signature and sign anew: a new artifact in place of the one in the ledger'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l remove -d 'Take out the signatures and sign nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l page-hashes -d 'Add page hashes (PE)'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l follow-symlinks -d 'Sign what a symlink leads to'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l no-timestamp -d 'Sign without a timestamp; refused in production'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l sandbox -d 'Use the sandbox in .keyctl-sandbox, made if it is not there'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand sign" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l roots -d 'Trusted root certificates (PEM), instead of the workspace\'s' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l timestamp-roots -d 'Trusted root certificates of timestamp authorities (PEM)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l crl -d 'Revocation lists (DER or PEM), besides the workspace\'s' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l ledger-key -d 'Trusted ledger keys (verifier key lines), instead of the workspace\'s' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l roster -d 'Who was in the roster: the approvals in a fragment are checked by it, and must hold' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l request -d 'What the approvals of a fragment were given for: a request of requests/, or an approval of the board' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l keyring -d 'Trusted OpenPGP keyring for repositories, binary or armoured, instead of the workspace\'s' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l at -d 'As of this time (RFC 3339) instead of now' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l require-timestamp -d 'A signature without a good timestamp does not pass'
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l follow-symlinks -d 'Verify what symlinks lead to; otherwise they are refused'
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and not __fish_seen_subcommand_from log" -f -a "log" -d 'The ledger: leaves, tree, checkpoints, tables, anchors'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l anchor -d 'A checkpoint kept elsewhere; may be given several times' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand audit; and __fish_seen_subcommand_from log" -s h -l help -d 'Print help'
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand recover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l workspace -d 'The workspace folder (else /etc/keyctl, else upwards from here if this user founded or pinned it)' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l output -d 'Form of results: table, json or csv (default: table on a terminal, else json)' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l correlation-id -d 'Ties this run to a deployment; generated when absent' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l actor -d 'Who asks, by e-mail address; recorded as asserted unless --identity proves it' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l identity -d 'The SSH key that proves who asks: a private key, a public key whose other half is in the agent, or a FIDO stub' -r -F
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l because -d 'Why, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l ticket -d 'A ticket in another system, for those who have to approve' -r
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l yes -d 'Do not ask whether it is meant'
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -l dry-run -d 'Print the resolved request and the gates; touch no key and change nothing'
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -s q -l quiet -d 'Only results and errors'
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -s v -l verbose -d 'More words on stderr'
complete -c keyctl -n "__fish_keyctl_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
