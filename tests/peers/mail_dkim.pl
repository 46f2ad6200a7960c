# What Mail::DKIM makes of each signature: perl mail_dkim.pl HOST PORT < list of files
# Prints: FILE SELECTOR RESULT
use strict;
use warnings;
use Mail::DKIM::DNS;
use Mail::DKIM::Verifier;
use Net::DNS::Resolver;

my ($host, $port) = @ARGV;
my $resolver = Net::DNS::Resolver->new(
    nameservers => [$host], port => $port, recurse => 0, udp_timeout => 5);
Mail::DKIM::DNS::resolver($resolver);

while (my $file = <STDIN>) {
    chomp $file;
    my $verifier = Mail::DKIM::Verifier->new();
    open my $handle, '<:raw', $file or die "$file: $!";
    local $/ = undef;
    $verifier->PRINT(<$handle>);
    $verifier->CLOSE();
    close $handle;
    for my $signature ($verifier->signatures) {
        printf "%s %s %s\n", $file, $signature->selector, $signature->result;
    }
    $/ = "\n";
}
